//! Operations that share statements: each has the result that it would have alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;
use descartes_state::page::Order;
use descartes_state::{
    AgentState, ChangeIf, EventFilter, PageRequest, PostgresStateStore, Step, StoreOptions,
    TransitionFilter,
};
use descartes_state_testing::{agent, event, numbered_event, poll_once, soon};
use tokio::sync::Barrier;

use crate::{open, open_with};

pub(crate) const CALLERS: usize = 64;

/// Runs a call of each of many at the same moment; returns what each returned, in their order.
pub(crate) async fn at_once<T, F>(
    store: &PostgresStateStore,
    call: impl Fn(PostgresStateStore, usize) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(CALLERS));
    let calls: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (barrier, work) = (Arc::clone(&barrier), call(store.clone(), caller));
            tokio::spawn(async move {
                barrier.wait().await;
                work.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(soon(call).await.unwrap());
    }
    results
}

fn with_data(id: &str, data: String) -> AgentState {
    AgentState {
        state_data: data,
        ..agent(id)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn saves_steps_and_appends_that_meet_are_each_as_if_alone() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    for id in ["there", "deleted"] {
        store.agents().save(&agent(id)).await.unwrap();
    }
    store
        .agents()
        .delete("deleted", ChangeIf::Any)
        .await
        .unwrap();
    let known = numbered_event(1, "known");
    let first = store.events().append(&known).await.unwrap();
    for round in 0..5_u128 {
        let results = at_once(&store, |store, caller| {
            let known = known.clone();
            async move {
                let own = numbered_event(1000 * (round + 1) + caller as u128, "own");
                match caller % 8 {
                    // New agents, one that is deleted, and one that all want.
                    0 => {
                        let id = format!("new-{round}-{caller}");
                        store
                            .agents()
                            .save(&agent(&id))
                            .await
                            .map(|revision| revision.get() == 1)
                    }
                    1 => store.agents().save(&agent("deleted")).await.map(|_| true),
                    2 => store.agents().save(&agent("there")).await.map(|_| true),
                    3 => {
                        let state = with_data("there", format!("{round} {caller}"));
                        let step = Step::to(&state).reason("r").event(&own);
                        let stepped = store.agents().step(&step).await;
                        stepped.map(|stepped| stepped.events.len() == 1)
                    }
                    4 => {
                        // A step with an event that is there already, and says the same.
                        let state = with_data("there", format!("{round} {caller}"));
                        let step = Step::to(&state).event(&known).event(&own);
                        let stepped = store.agents().step(&step).await;
                        stepped.map(|stepped| stepped.events[0] == first)
                    }
                    5 => {
                        // One whose event says something else: it alone is refused, and leaves nothing.
                        let other = numbered_event(1, "other");
                        let state = with_data("there", "refused".to_owned());
                        let refused = store.agents().step(&Step::to(&state).event(&other)).await;
                        Ok(refused.unwrap_err().kind() == ErrorKind::Conflict)
                    }
                    6 => store.events().append(&known).await.map(|seq| seq == first),
                    _ => store.events().append(&own).await.map(|seq| seq > first),
                }
            }
        })
        .await;
        for (caller, result) in results.into_iter().enumerate() {
            assert!(result.unwrap(), "{caller}");
        }
    }
    // Saves of the one agent, and steps: each has raised its revision by one.
    let of_each = CALLERS as i64 / 8;
    let record = store.agents().get("there").await.unwrap().unwrap();
    assert_eq!(record.revision.get(), 1 + 5 * 3 * of_each);
    let record = store.agents().get("deleted").await.unwrap().unwrap();
    assert_eq!(record.revision.get(), 2 + 5 * of_each);
    let events = store.events().count(&EventFilter::default()).await.unwrap();
    assert_eq!(events, 1 + 5 * 3 * of_each);
    // Each transition begins with a state that the agent had: its own, or one that a step has left.
    let page = PageRequest::new(1000).order(Order::Ascending);
    let transitions = store
        .transitions()
        .list(&TransitionFilter::default(), &page)
        .await;
    let transitions = transitions.unwrap().items;
    assert_eq!(transitions.len() as i64, 5 * 2 * of_each);
    let mut had: BTreeSet<String> = BTreeSet::from([agent("there").state_data]);
    for record in transitions {
        let transition = record.transition;
        assert!(had.contains(&transition.state_before), "{transition:?}");
        assert_ne!(transition.state_after, "refused");
        had.insert(transition.state_after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn steps_of_many_agents_at_once_each_follow_their_own() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let id = |caller: usize| format!("agent-{caller:02}");
    for caller in 0..CALLERS {
        let state = with_data(&id(caller), "0".to_owned());
        store.save_agent_state(&state).await.unwrap();
    }
    let stepped = at_once(&store, |store, caller| async move {
        let mut stepped = Vec::new();
        for number in 1..=10 {
            let state = with_data(&format!("agent-{caller:02}"), number.to_string());
            let events = [event("one of the first"), event("one of the second")];
            let step = Step::to(&state).event(&events[0]).event(&events[1]);
            stepped.push(store.agents().step(&step).await.unwrap());
            // What was told as done is seen by who asks afterwards.
            let loaded = store.agents().get(&state.agent_id).await.unwrap().unwrap();
            assert_eq!(loaded.state.state_data, number.to_string());
        }
        stepped
    })
    .await;
    let mut numbers = BTreeSet::new();
    for (caller, stepped) in stepped.into_iter().enumerate() {
        for (place, step) in stepped.iter().enumerate() {
            assert_eq!(step.revision.get(), place as i64 + 2);
            assert!(step.events[0] < step.events[1], "{step:?}");
            numbers.extend(step.events.iter().map(|seq| seq.get()));
        }
        let filter = TransitionFilter::default().agent(id(caller));
        let page = PageRequest::new(100).order(Order::Ascending);
        let page = store.transitions().list(&filter, &page).await.unwrap();
        let seqs: Vec<_> = page.items.iter().map(|record| record.seq).collect();
        let told: Vec<_> = stepped.iter().map(|step| step.transition).collect();
        assert_eq!(seqs, told);
        for (place, record) in page.items.iter().enumerate() {
            let states = (
                &*record.transition.state_before,
                &*record.transition.state_after,
            );
            assert_eq!(states, (&*place.to_string(), &*(place + 1).to_string()));
        }
    }
    assert_eq!(numbers.len(), CALLERS * 10 * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_that_meet_return_each_its_own_also_large_missing_and_compressed_ones() {
    let options = StoreOptions::default().compression(true);
    let Some((_schema, store)) = open_with(options).await else {
        return;
    };
    let tenant = store.with_prefix("tenant");
    let data = |caller: usize| match caller % 4 {
        0 => "small".to_owned(),
        1 => "compressed ".repeat(1000),
        // Above what is loaded with others, whatever it compresses to.
        _ => (0..40_000)
            .map(|number| format!("{:x}", number * 7919 + caller))
            .collect(),
    };
    for caller in (0..CALLERS).filter(|caller| caller % 4 != 3) {
        let of = if caller % 2 == 0 { &store } else { &tenant };
        let state = with_data(&format!("a{caller}"), data(caller));
        of.agents().save(&state).await.unwrap();
    }
    for _ in 0..5 {
        let loaded = at_once(&store, |store, caller| async move {
            let of = match caller % 2 {
                0 => store,
                _ => store.with_prefix("tenant"),
            };
            let id = format!("a{caller}");
            match caller % 3 {
                0 => {
                    let record = of.agents().get(&id).await.unwrap();
                    record.map(|record| {
                        assert_eq!(record.namespace, ["", "tenant"][caller % 2]);
                        record.state
                    })
                }
                _ => of.load_agent_state(&id).await.unwrap(),
            }
        })
        .await;
        for (caller, state) in loaded.into_iter().enumerate() {
            let wanted = (caller % 4 != 3).then(|| data(caller));
            assert_eq!(state.map(|state| state.state_data), wanted, "{caller}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_save_whose_future_is_dropped_is_whole_or_not_there_and_harms_no_other() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    for caller in 0..CALLERS {
        store
            .save_agent_state(&agent(&format!("a{caller}")))
            .await
            .unwrap();
    }
    let mut told = BTreeMap::new();
    for round in 1..=10 {
        let saved = at_once(&store, |store, caller| async move {
            let state = with_data(&format!("a{caller}"), format!("{round}"));
            let agents = store.agents();
            let save = agents.save(&state);
            if caller % 3 == 0 {
                // Given up at any moment.
                tokio::select! {
                    biased;
                    () = give_up(caller + round) => None,
                    saved = save => Some(saved.unwrap()),
                }
            } else {
                Some(save.await.unwrap())
            }
        })
        .await;
        for (caller, revision) in saved.into_iter().enumerate() {
            if let Some(revision) = revision {
                told.insert(caller, (revision, round));
            }
        }
    }
    for (caller, (revision, round)) in told {
        let record = store
            .agents()
            .get(&format!("a{caller}"))
            .await
            .unwrap()
            .unwrap();
        assert!(record.revision >= revision, "{caller}");
        if caller % 3 != 0 {
            assert_eq!(record.revision, revision);
            assert_eq!(record.state.state_data, round.to_string());
        }
    }
    store.close().await.unwrap();
    assert_eq!(
        store
            .agents()
            .save(&agent("late"))
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Closed
    );
}

async fn give_up(after: usize) {
    for _ in 0..after {
        tokio::task::yield_now().await;
    }
}

#[test]
fn callers_on_runtimes_that_go_away_leave_nobody_waiting() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some((_schema, store)) = runtime.block_on(open()) else {
        return;
    };
    runtime
        .block_on(store.save_agent_state(&agent("a")))
        .unwrap();
    for _ in 0..10 {
        let store = store.clone();
        let short = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                for caller in 0..16 {
                    let store = store.clone();
                    tokio::spawn(
                        async move { store.save_event(&event(&caller.to_string())).await },
                    );
                }
                tokio::task::yield_now().await;
            });
            // It goes with whatever is under way on it.
        });
        short.join().unwrap();
    }
    let last = runtime.block_on(soon(store.save_event(&event("last"))));
    last.unwrap();
    let state = runtime.block_on(soon(store.load_agent_state("a")));
    assert!(state.unwrap().is_some());
}

#[tokio::test]
async fn futures_that_nobody_polls_keep_nobody_waiting() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    for id in ["a", "b", "c", "d"] {
        store.save_agent_state(&agent(id)).await.unwrap();
    }
    let (first, second, third) = (agent("a"), agent("b"), agent("c"));
    let mut saves = [
        Box::pin(store.save_agent_state(&first)),
        Box::pin(store.save_agent_state(&second)),
        Box::pin(store.save_agent_state(&third)),
    ];
    let mut loads = [
        Box::pin(store.load_agent_state("a")),
        Box::pin(store.load_agent_state("b")),
        Box::pin(store.load_agent_state("c")),
    ];
    for save in &mut saves {
        assert!(poll_once(save.as_mut()).is_pending());
    }
    for load in &mut loads {
        assert!(poll_once(load.as_mut()).is_pending());
    }
    for _ in 0..3 {
        soon(store.save_agent_state(&agent("d"))).await.unwrap();
        soon(store.save_event(&event("word"))).await.unwrap();
        soon(store.load_agent_state("d")).await.unwrap();
    }
    for save in saves {
        soon(save).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_row_that_somebody_holds_keeps_only_its_own_writers_waiting() {
    let Some((schema, store)) = open().await else {
        return;
    };
    for id in ["held", "free"] {
        store.save_agent_state(&agent(id)).await.unwrap();
    }
    let mut holder = schema.connect();
    holder
        .batch_execute("BEGIN; SELECT 1 FROM agent_states WHERE key = 'held' FOR UPDATE")
        .unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.agents().save(&agent("held")).await })
        })
        .collect();
    for _ in 0..20 {
        soon(store.save_agent_state(&agent("free"))).await.unwrap();
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    holder.batch_execute("COMMIT").unwrap();
    let mut revisions = BTreeSet::new();
    for waiting in waiting {
        revisions.insert(soon(waiting).await.unwrap().unwrap().get());
    }
    assert_eq!(revisions, BTreeSet::from([2, 3, 4, 5]));
}

#[test]
fn callers_on_other_runtimes_are_served_where_the_stores_own_is_at_rest() {
    let rest = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let Some((_schema, store)) = rest.block_on(open()) else {
        return;
    };
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let store = store.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                for number in 0..10 {
                    let saved = event(&format!("{caller} {number}"));
                    runtime.block_on(soon(store.save_event(&saved))).unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let events = rest.block_on(store.events().count(&EventFilter::default()));
    assert_eq!(events.unwrap(), 80);
}
