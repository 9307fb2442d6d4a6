//! `transact`, `try_transact` and `read` over all six aggregates, and over the Diesel connection.

use descartes_state::diesel::{self, prelude::*};
use descartes_state::schema::{agent_states, events, tasks};
use descartes_state::{
    AgentFilter, ChangeIf, DatabaseFailure, EventFilter, PageRequest, ReadTransaction, Revision,
    SaveIf, Session, SessionStatus, SnapshotFilter, SnapshotOptions, SqliteStateStore,
    StateStoreError, StoreOptions, TaskFilter, TaskStatus, Transaction, TransitionDraft,
    TransitionFilter,
};

use descartes_state_testing::{Place, TestResult, agent, dump, event, on_connection, task};

/// A write and a read of its own in each of the six.
fn work(transaction: &mut Transaction<'_>) -> Result<String, StateStoreError> {
    transaction.agents().save(&agent("a"))?;
    transaction
        .agents()
        .set_status("a", "busy", ChangeIf::Revision(Revision::from(1)))?;
    let draft = TransitionDraft::new("a", "idle", "busy").reason("why");
    transaction.transitions().record(&draft)?;
    transaction
        .snapshots()
        .create("a", &SnapshotOptions::default())?;
    transaction.events().append(&event("needle"))?;
    let work = task("x");
    transaction.tasks().save(&work)?;
    transaction
        .tasks()
        .set_status(&work.id, TaskStatus::Done, ChangeIf::Any)?;
    transaction.sessions().start(&Session::new("s", "a"))?;
    transaction
        .sessions()
        .end("s", SessionStatus::Completed, ChangeIf::Any)?;
    counts(transaction)
}

fn counts(transaction: &mut ReadTransaction<'_>) -> Result<String, StateStoreError> {
    let page = PageRequest::default();
    let agents = transaction
        .agents()
        .list(&AgentFilter::default().status("busy"), &page)?;
    let tasks = transaction
        .tasks()
        .list(&TaskFilter::default().status(TaskStatus::Done), &page)?;
    let found = transaction
        .events()
        .search("needle", &EventFilter::default(), &page)?;
    let session = transaction.sessions().get("s")?;
    Ok(format!(
        "{} {} {} {} {} {}",
        agents.items.len(),
        transaction
            .transitions()
            .count(&TransitionFilter::default())?,
        transaction.snapshots().count(&SnapshotFilter::default())?,
        found.items.len(),
        tasks.items.len(),
        usize::from(session.is_some_and(|record| record.status.is_final())),
    ))
}

#[tokio::test]
async fn a_transaction_over_all_six_aggregates_commits_whole() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        assert_eq!(
            store.transact(work).await?,
            "1 1 1 1 1 1",
            "it sees its own writes"
        );
        assert_eq!(store.read(counts).await?, "1 1 1 1 1 1");
        assert_eq!(store.search_events("needle").await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing_of_all_six() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let before = dump(&store, None).await?;
        let failed: Result<(), _> = store
            .transact(|transaction| {
                work(transaction)?;
                Err(StateStoreError::application("changed my mind"))
            })
            .await;
        assert!(
            matches!(&failed, Err(StateStoreError::Application(source)) if source.to_string() == "changed my mind")
        );
        let panicked: Result<(), _> = store
            .transact(|transaction| {
                work(transaction)?;
                std::panic::panic_any("changed my mind");
            })
            .await;
        assert!(
            matches!(&panicked, Err(StateStoreError::Panicked { message }) if message == "changed my mind")
        );
        assert_eq!(dump(&store, None).await?, before);
        assert_eq!(store.search_events("needle").await?, []);
        // The next one works on a clean connection.
        assert_eq!(store.transact(work).await?, "1 1 1 1 1 1");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_step_that_the_closure_accepts_harms_no_other() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        store
            .transact(|transaction| {
                transaction.agents().save(&agent("a"))?;
                let conflict = transaction.agents().save_if(&agent("a"), SaveIf::Absent);
                assert!(matches!(conflict, Err(StateStoreError::Conflict { .. })));
                let missing = transaction.agents().delete("b", ChangeIf::Any);
                assert!(matches!(missing, Err(StateStoreError::NotFound { .. })));
                transaction.agents().save(&agent("c"))
            })
            .await?;
        assert_eq!(store.list_agents().await?, [agent("a"), agent("c")]);
    }
    Ok(())
}

#[derive(Debug)]
enum OwnError {
    Mine(u8),
    Store(StateStoreError),
}

impl From<StateStoreError> for OwnError {
    fn from(error: StateStoreError) -> Self {
        Self::Store(error)
    }
}

#[tokio::test]
async fn a_callers_own_error_comes_out_as_it_is_and_rolls_back() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let result: Result<(), OwnError> = store
            .try_transact(|transaction| {
                transaction.agents().save(&agent("a"))?;
                Err(OwnError::Mine(7))
            })
            .await;
        assert!(matches!(result, Err(OwnError::Mine(7))), "{result:?}");
        assert_eq!(store.list_agents().await?, []);
        let result: Result<(), OwnError> = store
            .try_transact(|transaction| Ok(transaction.agents().purge("a", ChangeIf::Any)?))
            .await;
        assert!(
            matches!(
                result,
                Err(OwnError::Store(StateStoreError::NotFound { .. }))
            ),
            "{result:?}"
        );
        let saved: Result<Revision, OwnError> = store
            .try_transact(|transaction| Ok(transaction.agents().save(&agent("a"))?))
            .await;
        assert!(
            matches!(saved, Ok(revision) if revision.get() == 1),
            "{saved:?}"
        );
        assert_eq!(store.list_agents().await?.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_read_closure_can_not_write() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let before = dump(&store, None).await?;
        let result = store
            .read(|transaction| {
                let delete = diesel::delete(agent_states::table);
                Ok(on_connection!(transaction, |connection| delete.execute(connection)?))
            })
            .await;
        assert!(
            matches!(&result, Err(StateStoreError::DatabaseError(error)) if error.kind() == DatabaseFailure::ReadOnly),
            "{result:?}"
        );
        assert_eq!(dump(&store, None).await?, before);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_closure_sees_one_moment() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        store.save_agent_state(&agent("a")).await?;
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (written, is_written) = std::sync::mpsc::channel::<()>();
        let reading = store.clone();
        let reader = tokio::spawn(async move {
            reading
                .read(move |transaction| {
                    let before = transaction.agents().count(&AgentFilter::default())?;
                    begun.send(()).map_err(StateStoreError::application)?;
                    is_written.recv().map_err(StateStoreError::application)?;
                    Ok((before, transaction.agents().count(&AgentFilter::default())?))
                })
                .await
        });
        tokio::task::spawn_blocking(move || has_begun.recv()).await??;
        store.save_agent_state(&agent("b")).await?;
        written.send(())?;
        assert_eq!(reader.await??, (1, 1));
        assert_eq!(store.agents().count(&AgentFilter::default()).await?, 2);
    }
    Ok(())
}

#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    reason = "inside a transaction of the store's it is a savepoint"
)]
async fn typed_queries_run_against_the_schema() -> TestResult {
    for place in Place::everywhere(StoreOptions::default()).await {
        let store = place.store().with_prefix("p");
        store.transact(work).await?;
        let read = store
            .read(|transaction| {
                let rows = agent_states::table
                    .inner_join(events::table.on(events::namespace.eq(agent_states::namespace)))
                    .filter(events::content.eq("needle"))
                    .select((agent_states::key, agent_states::revision));
                let rows: Vec<(String, i64)> =
                    on_connection!(transaction, |connection| rows.load(connection)?);
                Ok(rows)
            })
            .await?;
        assert_eq!(read, [("p:a".to_owned(), 2)]);
        let changed = store
            .transact(|transaction| {
                // A savepoint inside the transaction: what fails in it goes alone.
                let failed = on_connection!(transaction, |connection| connection.transaction(
                    |connection| {
                        diesel::delete(tasks::table).execute(connection)?;
                        Err::<(), _>(diesel::result::Error::RollbackTransaction)
                    }
                ));
                assert!(failed.is_err());
                let rename = diesel::update(tasks::table).set(tasks::title.eq("new"));
                Ok(on_connection!(transaction, |connection| rename.execute(connection)?))
            })
            .await?;
        assert_eq!(changed, 1);
        assert_eq!(store.get_tasks().await?[0].title, "new");
    }
    Ok(())
}

#[tokio::test]
async fn the_schema_refuses_to_change_what_is_append_only() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        store.transact(work).await?;
        let before = dump(&store, None).await?;
        for statement in [
            "UPDATE events SET content = 'x'",
            "UPDATE state_transitions SET reason = 'x'",
        ] {
            let result = store
                .transact(move |transaction| {
                    let query = diesel::sql_query(statement);
                    Ok(on_connection!(transaction, |connection| query.execute(connection)?))
                })
                .await;
            assert!(
                matches!(&result, Err(StateStoreError::DatabaseError(error)) if error.kind() == DatabaseFailure::Constraint),
                "{result:?}"
            );
        }
        assert_eq!(dump(&store, None).await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn the_pool_reads_every_prefix_and_writes_nothing() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    for prefix in ["", "p"] {
        store
            .with_prefix(prefix)
            .save_agent_state(&agent("a"))
            .await?;
    }
    let connection = store.pool().get().await?;
    let rows: i64 = connection
        .interact(|connection| agent_states::table.count().get_result(connection))
        .await
        .map_err(|error| error.to_string())??;
    assert_eq!(rows, 2);
    let write = connection
        .interact(|connection| diesel::delete(agent_states::table).execute(connection))
        .await
        .map_err(|error| error.to_string())?;
    assert!(write.is_err(), "{write:?}");
    assert_eq!(store.list_agents().await?.len(), 1);
    Ok(())
}
