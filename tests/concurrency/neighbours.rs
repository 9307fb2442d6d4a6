//! Writes that share a commit: one that fails leaves the others as they are, however SQLite takes it.

use descartes_state::diesel::connection::SimpleConnection;

use descartes_state_testing::{TestResult, agent, connect_patiently, open, quick, soon};

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
