//! Transitions: recorded, and read back newest first.

use std::sync::Arc;

use descartes_state::StateStore;
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::agents::too_many;
use super::configurations::LIST_ROWS;
use descartes_state_testing::{NOW, TestResult, any_id, any_text, for_all};

type Store = Arc<dyn StateStore>;

/// Records transitions of `a` to the states 0, 1, 2 …
async fn record(store: &Store, transitions: usize) -> TestResult {
    for number in 0..transitions {
        store
            .record_state_transition("a", "before", &number.to_string(), None)
            .await?;
    }
    Ok(())
}

async fn states(store: &Store, limit: u32) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let history = store.get_state_history("a", limit).await?;
    Ok(history
        .into_iter()
        .map(|transition| transition.state_after)
        .collect())
}

pub(crate) async fn every_field_of_a_transition_comes_back(store: Store) -> TestResult {
    let runtime = Handle::current();
    let inputs = || {
        let reason = proptest::option::of(any_text());
        (any_id(), any_text(), any_text(), reason, 1..40_usize)
    };
    for_all(32, inputs, move |(id, before, after, reason, copies)| {
        let (before, after) = (before.repeat(copies), after.repeat(copies));
        let read = runtime.block_on(async {
            store
                .record_state_transition(&id, &before, &after, reason.clone())
                .await?;
            store.get_state_history(&id, 1).await
        });
        let read = read.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.len(), 1);
        let [transition] = read.as_slice() else {
            return Ok(());
        };
        prop_assert_eq!(&transition.agent_id, &id);
        prop_assert_eq!(&transition.state_before, &before);
        prop_assert_eq!(&transition.state_after, &after);
        prop_assert_eq!(&transition.reason, &reason);
        prop_assert_eq!(transition.timestamp, NOW);
        prop_assert_eq!(&transition.metadata, &None);
        Ok(())
    })
    .await
}

pub(crate) async fn history_is_newest_first_whatever_the_clock_says(store: Store) -> TestResult {
    // The clock of this suite stands still: all of these have one timestamp.
    record(&store, 5).await?;
    assert_eq!(states(&store, 50).await?, ["4", "3", "2", "1", "0"]);
    let history = store.get_state_history("a", 50).await?;
    let mut ids: Vec<_> = history.iter().map(|transition| transition.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each has an id of its own");
    Ok(())
}

pub(crate) async fn history_is_cut_at_its_limit_and_keeps_the_newest(store: Store) -> TestResult {
    record(&store, 5).await?;
    assert_eq!(states(&store, 0).await?, [""; 0]);
    assert_eq!(states(&store, 1).await?, ["4"]);
    assert_eq!(states(&store, 4).await?, ["4", "3", "2", "1"]);
    assert_eq!(states(&store, 5).await?.len(), 5);
    assert_eq!(states(&store, u32::MAX).await?.len(), 5);
    Ok(())
}

pub(crate) async fn history_is_of_one_agent_which_need_not_exist(store: Store) -> TestResult {
    record(&store, 2).await?;
    store
        .record_state_transition("b", "x", "y", Some("why".to_owned()))
        .await?;
    let history = store.get_state_history("b", 50).await?;
    assert_eq!(history.len(), 1);
    assert!(history.iter().all(|transition| transition.agent_id == "b"));
    assert_eq!(store.get_state_history("c", 50).await?, []);
    assert_eq!(store.load_agent_state("b").await?, None);
    Ok(())
}

pub(crate) async fn too_long_a_history_is_an_error_never_a_cut(store: Store) -> TestResult {
    record(&store, LIST_ROWS).await?;
    assert_eq!(states(&store, u32::MAX).await?.len(), LIST_ROWS);
    record(&store, 1).await?;
    let most = u32::try_from(LIST_ROWS)?;
    // As many as are asked for is no cut; more than may be returned at once is.
    assert_eq!(states(&store, most).await?.len(), LIST_ROWS);
    too_many(
        store.get_state_history("a", most + 1).await,
        "transitions().list(..)",
    );
    too_many(
        store.get_state_history("a", u32::MAX).await,
        "transitions().list(..)",
    );
    Ok(())
}
