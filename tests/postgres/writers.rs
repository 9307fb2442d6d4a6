//! Many writers at once: no update is lost, no revision comes twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use descartes_state::page::Order;
use descartes_state::{
    ChangeIf, EventFilter, Revision, SaveIf, Session, StateStoreError, Step, TransitionFilter,
};
use descartes_state_testing::{agent, numbered_event, soon};
use tokio::sync::Barrier;

use crate::open;

/// How many write at once.
const WRITERS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_expect_one_revision_one_is_told_that_it_was_first() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    store.agents().save(&agent("a")).await.unwrap();
    for round in 1..=10 {
        let barrier = Arc::new(Barrier::new(WRITERS));
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (store, barrier) = (store.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    let expected = SaveIf::Revision(Revision::from(round));
                    store.agents().save_if(&agent("a"), expected).await
                })
            })
            .collect();
        let mut first = Vec::new();
        for writer in writers {
            match soon(writer).await.unwrap() {
                Ok(revision) => first.push(revision.get()),
                Err(StateStoreError::Conflict { actual, .. }) => {
                    assert_eq!(actual.get(), round + 1);
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(first, [round + 1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_insert_one_row_one_inserts_and_the_others_write_over_it() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    for round in 0..10 {
        let barrier = Arc::new(Barrier::new(WRITERS));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, barrier) = (store.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let state = agent(&format!("agent-{round}"));
                    barrier.wait().await;
                    if writer % 2 == 0 {
                        store.agents().save(&state).await
                    } else {
                        let step = Step::to(&state);
                        store.agents().step(&step).await.map(|done| done.revision)
                    }
                })
            })
            .collect();
        let mut revisions = BTreeSet::new();
        for writer in writers {
            revisions.insert(soon(writer).await.unwrap().unwrap().get());
        }
        let all: BTreeSet<i64> = (1..=WRITERS as i64).collect();
        assert_eq!(revisions, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_step_begins_where_the_one_before_it_ended() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let steps: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let mut state = agent("a");
                    state.state_data = format!("{writer}/{number}");
                    let event = numbered_event((writer * 100 + number) as u128, "went on");
                    let step = Step::to(&state).event(&event);
                    store.agents().step(&step).await.unwrap();
                }
            })
        })
        .collect();
    for step in steps {
        soon(step).await.unwrap();
    }
    let of_agent = TransitionFilter::default().agent("a");
    let page = descartes_state::PageRequest::new(1000).order(Order::Ascending);
    let transitions = store.transitions().list(&of_agent, &page).await.unwrap();
    assert_eq!(transitions.items.len(), WRITERS * 10);
    let mut before = String::new();
    for record in transitions.items {
        assert_eq!(record.transition.state_before, before);
        before = record.transition.state_after;
    }
    let events = store.events().count(&EventFilter::default()).await.unwrap();
    assert_eq!(events, WRITERS as i64 * 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revisions_go_on_rising_while_others_purge() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let mut highest = 0;
    for _ in 0..20 {
        let saves: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.agents().save(&agent("a")).await })
            })
            .collect();
        let purge = {
            let store = store.clone();
            tokio::spawn(async move { store.agents().purge("a", ChangeIf::Any).await })
        };
        let mut seen = Vec::new();
        for save in saves {
            seen.push(soon(save).await.unwrap().unwrap().get());
        }
        match soon(purge).await.unwrap() {
            Ok(()) | Err(StateStoreError::NotFound { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        seen.sort_unstable();
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{seen:?}");
        assert!(seen[0] > highest, "{seen:?} after {highest}");
        highest = seen[seen.len() - 1];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_want_the_same_rows_in_another_order_are_all_written() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    for id in ["a", "b", "c"] {
        store.agents().save(&agent(id)).await.unwrap();
        let session = Session::new(id, id);
        store.sessions().start(&session).await.unwrap();
    }
    let batches: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    let mut ids = ["a", "b", "c"];
                    ids.rotate_left(writer % 3);
                    let mut batch = store.batch();
                    for id in ids {
                        batch
                            .agents()
                            .set_status(id, "busy", ChangeIf::Any)
                            .unwrap();
                        batch.sessions().touch(id, ChangeIf::Any).unwrap();
                    }
                    batch.commit().await.unwrap();
                }
            })
        })
        .collect();
    for batch in batches {
        soon(batch).await.unwrap();
    }
    let record = store.agents().get("a").await.unwrap().unwrap();
    assert_eq!(record.revision.get(), 1 + WRITERS as i64 * 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_step_that_is_repeated_while_it_is_taken_returns_what_it_wrote() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    store.agents().save(&agent("a")).await.unwrap();
    for round in 1..=10 {
        let (barrier, id) = (Arc::new(Barrier::new(8)), descartes_state::new_id());
        let steps: Vec<_> = (0..8)
            .map(|_| {
                let (store, barrier) = (store.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let state = agent("a");
                    let expected = SaveIf::Revision(Revision::from(round));
                    let step = Step::to(&state).expect(expected).id(id);
                    barrier.wait().await;
                    store.agents().step(&step).await
                })
            })
            .collect();
        for step in steps {
            let done = soon(step).await.unwrap().unwrap();
            assert_eq!(
                (done.revision.get(), done.transition.get()),
                (round + 1, round)
            );
        }
    }
}
