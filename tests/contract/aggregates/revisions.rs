//! Revisions: whatever happens to a row, no old writer can ever match.

use std::collections::HashMap;

use descartes_state::{
    AnyStateStore, ChangeIf, Durability, Revision, SaveIf, StateStoreError, StoreOptions,
};
use proptest::prelude::*;
use tokio::runtime::Handle;

use descartes_state_testing::{Place, TestResult, agent, for_all};

#[derive(Debug, Clone, Copy)]
enum Step {
    Save,
    SetStatus,
    Delete,
    Undelete,
    Purge,
}

async fn take(
    store: &AnyStateStore,
    (step, id): (Step, &str),
) -> Result<Option<i64>, StateStoreError> {
    let agents = store.agents();
    let any = ChangeIf::Any;
    let number = |revision: Revision| Some(revision.get());
    match step {
        Step::Save => agents.save(&agent(id)).await.map(number),
        Step::SetStatus => agents.set_status(id, "busy", any).await.map(number),
        Step::Delete => agents.delete(id, any).await.map(number),
        Step::Undelete => agents.undelete(id, any).await.map(number),
        Step::Purge => agents.purge(id, any).await.map(|()| None),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_never_comes_twice_in_any_life_of_a_row() -> TestResult {
    let steps = || {
        let step = prop_oneof![
            3 => Just(Step::Save),
            1 => Just(Step::SetStatus),
            2 => Just(Step::Delete),
            1 => Just(Step::Undelete),
            2 => Just(Step::Purge),
        ];
        let id = proptest::sample::select(vec!["a", "b"]);
        proptest::collection::vec((step, id), 1..25)
    };
    let options = StoreOptions::default().durability(Durability::Relaxed);
    let runtime = Handle::current();
    for_all(24, steps, move |steps| {
        let checked = runtime.block_on(async {
            for store in Place::everywhere(options.clone()).await {
                let mut highest: HashMap<&str, i64> = HashMap::new();
                for (step, id) in steps.clone() {
                    let last = highest.get(id).copied().unwrap_or(0);
                    let was_deleted = store.agents().get(id).await?.is_none();
                    match take(&store, (step, id)).await {
                        Ok(Some(revision)) if matches!(step, Step::Undelete) && !was_deleted => {
                            assert_eq!(
                                revision, last,
                                "undeleting what isn't deleted writes nothing"
                            );
                        }
                        Ok(Some(revision)) => {
                            assert!(revision > last, "{id} went from {last} to {revision}");
                            highest.insert(id, revision);
                        }
                        Ok(None) | Err(StateStoreError::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(())
        });
        checked.map_err(|error| TestCaseError::fail(error.to_string()))
    })
    .await
}

#[tokio::test]
async fn a_writer_from_before_a_purge_never_matches_the_new_row() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let agents = store.agents();
        for _ in 0..4 {
            agents.save(&agent("a")).await?;
        }
        let read_by_an_old_writer = agents.get("a").await?.ok_or("not saved")?.revision;
        agents.purge("a", ChangeIf::Any).await?;
        let reborn = agents.save_if(&agent("a"), SaveIf::Absent).await?;
        assert_eq!(reborn.get(), read_by_an_old_writer.get() + 1);
        let late = agents
            .save_if(&agent("a"), SaveIf::Revision(read_by_an_old_writer))
            .await;
        assert!(
            matches!(late, Err(StateStoreError::Conflict { actual, .. }) if actual == reborn),
            "{late:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_with_one_revision_exactly_one_wins() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut revision = store.agents().save(&agent("a")).await?;
        for _ in 0..10 {
            let writers = (0..8).map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .agents()
                        .save_if(&agent("a"), SaveIf::Revision(revision))
                        .await
                })
            });
            let mut won = 0;
            let next_revision = Revision::from(revision.get() + 1);
            for writer in writers.collect::<Vec<_>>() {
                match writer.await? {
                    Ok(next) => {
                        assert_eq!(next, next_revision);
                        won += 1;
                    }
                    Err(StateStoreError::Conflict { actual, .. }) => {
                        assert_eq!(actual, next_revision);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            assert_eq!(won, 1);
            revision = next_revision;
        }
    }
    Ok(())
}
