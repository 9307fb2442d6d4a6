//! Writes that share a commit: one that fails leaves the others as they are, however SQLite takes it.

use std::future::Future;
use std::pin::Pin;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;
use descartes_state::{SqliteStateStore, StateStoreError, Step};

use descartes_state_testing::{
    HeldWriter, TestResult, agent, connect_patiently, count, numbered_event, open, poll_once,
    quick, soon,
};

type Call = Pin<Box<dyn Future<Output = Result<(), StateStoreError>> + Send>>;

/// A trigger that ends the whole transaction, and one that ends only the statement.
const REFUSALS: [&str; 3] = ["ROLLBACK", "ABORT", "FAIL"];

#[tokio::test]
async fn a_constraint_that_rolls_the_transaction_back_takes_no_neighbour_with_it() -> TestResult {
    for refusal in REFUSALS {
        let (_directory, store) = open(quick()).await;
        connect_patiently(store.path()).batch_execute(&format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON agent_states WHEN new.name = 'refused'
             BEGIN SELECT RAISE({refusal}, 'constraint failed'); END;"
        ))?;
        let saves = (0..300).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut state = agent(&format!("agent {number:03}"));
                if number % 50 == 20 {
                    state.name = "refused".into();
                }
                store.agents().save(&state).await.map(drop)
            })
        });
        let saves: Vec<_> = saves.collect();
        for (number, save) in saves.into_iter().enumerate() {
            let saved = soon(save).await?;
            assert_eq!(
                saved.is_ok(),
                number % 50 != 20,
                "{refusal} {number}: {saved:?}"
            );
        }
        let found: Vec<_> = store.list_agents().await?;
        assert_eq!(found.len(), 294, "{refusal}");
        // Each is there once, at its first revision: none was written outside its transaction and again.
        for state in found {
            let record = store.agents().get(&state.agent_id).await?.ok_or("gone")?;
            assert_eq!(record.revision.get(), 1, "{refusal}");
        }
    }
    Ok(())
}

/// A batch, or a step, whose last part fails once the others are written.
async fn fail_half_way(store: SqliteStateStore, number: usize) -> Result<(), StateStoreError> {
    let name = format!("half {number}");
    let state = agent(&name);
    let taken = numbered_event(7, "something else");
    if number.is_multiple_of(2) {
        let mut batch = store.batch();
        batch.agents().save(&state)?;
        batch.events().append(&taken)?;
        batch.commit().await.map(drop)
    } else {
        let step = Step::to(&state).event(&taken);
        store.agents().step(&step).await.map(drop)
    }
}

async fn succeed(store: SqliteStateStore, number: usize) -> Result<(), StateStoreError> {
    let name = format!("whole {number}");
    let state = agent(&name);
    let happened = numbered_event(1_000 + number as u128, "words");
    let step = Step::to(&state).event(&happened);
    store.agents().step(&step).await.map(drop)
}

#[tokio::test]
async fn of_a_write_that_fails_half_way_among_others_nothing_is_kept_and_of_each_other_all_once()
-> TestResult {
    let (_directory, store) = open(quick()).await;
    store.events().append(&numbered_event(7, "there")).await?;
    // More than once: the first time nobody expects it, afterwards the lane does.
    for round in 0..3 {
        let held = HeldWriter::new(&store).await;
        let mut waiting: Vec<(usize, Call)> = Vec::new();
        for place in 0..40 {
            let number = round * 40 + place;
            let mut call: Call = match place % 4 {
                2 => Box::pin(fail_half_way(store.clone(), number)),
                _ => Box::pin(succeed(store.clone(), number)),
            };
            // They wait for the lane together, and share a commit.
            assert!(poll_once(call.as_mut()).is_pending());
            waiting.push((place, call));
        }
        held.release().await;
        for (place, call) in waiting {
            match (place % 4, soon(call).await) {
                (2, Err(error)) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                (2, Ok(())) => panic!("{place} was taken for written"),
                (_, result) => result?,
            }
        }
    }
    let mut file = connect_patiently(store.path());
    assert_eq!(
        count(&mut file, "agent_states WHERE agent_id LIKE 'half%'"),
        0
    );
    assert_eq!(
        count(&mut file, "state_transitions WHERE agent_id LIKE 'half%'"),
        0
    );
    // Of the others all, and once, though the group may have run again.
    assert_eq!(count(&mut file, "agent_states WHERE revision = 1"), 90);
    assert_eq!(count(&mut file, "state_transitions"), 90);
    assert_eq!(count(&mut file, "events"), 91);
    Ok(())
}
