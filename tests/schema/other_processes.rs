//! Another process reverts or migrates the schema under an open store: it is said so, and work goes on when it is back.

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;
use descartes_state::{EventFilter, PageRequest, SqliteStateStore, StateStoreError};

use descartes_state_testing::{
    DEADLINE, TestResult, agent, connect_patiently, event, migrations_on_disk, open, quick,
};
use diesel_migrations::MigrationHarness;

/// A call of each kind.
async fn calls(store: &SqliteStateStore) -> Vec<(&'static str, Result<(), StateStoreError>)> {
    let page = PageRequest::new(10);
    vec![
        ("save", store.agents().save(&agent("a")).await.map(drop)),
        ("get", store.agents().get("a").await.map(drop)),
        (
            "append",
            store.events().append(&event("word")).await.map(drop),
        ),
        (
            "append_all",
            store.events().append_all(&[event("word")]).await.map(drop),
        ),
        (
            "list",
            store
                .events()
                .list(&EventFilter::default(), &page)
                .await
                .map(drop),
        ),
        ("search", store.search_events("word").await.map(drop)),
        (
            "transact",
            store.transact(|tx| tx.agents().get("a").map(drop)).await,
        ),
        (
            "read",
            store.read(|tx| tx.agents().get("a").map(drop)).await,
        ),
    ]
}

#[tokio::test]
async fn a_reverted_schema_is_not_initialized_until_it_is_back() -> TestResult {
    // After the last migration and after all of them.
    for reverted in [1, usize::MAX] {
        let (_directory, store) = open(quick()).await;
        for (name, result) in calls(&store).await {
            result.map_err(|error| format!("{name}: {error}"))?;
        }
        let mut other = connect_patiently(store.path());
        for _ in 0..reverted {
            if other.revert_last_migration(migrations_on_disk()).is_err() {
                break;
            }
        }
        // The first call may be any.
        for first in 0..8 {
            let (name, result) = calls(&store).await.remove(first);
            let error = result.err().ok_or(format!("{name} succeeded"))?;
            assert_eq!(error.kind(), ErrorKind::NotInitialized, "{name}: {error}");
        }
        other.run_pending_migrations(migrations_on_disk()).unwrap();
        for (name, result) in calls(&store).await {
            result.map_err(|error| format!("{name} afterwards: {error}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_is_refused_until_it_is_back() -> TestResult {
    let (_directory, store) = open(quick()).await;
    store.agents().save(&agent("a")).await?;
    store.agents().get("a").await?;
    let mut other = connect_patiently(store.path());
    other.batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('0999')")?;
    // A write sees it at once.
    let error = store
        .agents()
        .save(&agent("b"))
        .await
        .err()
        .ok_or("saved")?;
    assert_eq!(error.kind(), ErrorKind::NewerDatabase, "{error}");
    for (name, result) in calls(&store).await {
        let error = result.err().ok_or(format!("{name} succeeded"))?;
        assert_eq!(error.kind(), ErrorKind::NewerDatabase, "{name}: {error}");
    }
    other.batch_execute("DELETE FROM __diesel_schema_migrations WHERE version = '0999'")?;
    for (name, result) in calls(&store).await {
        result.map_err(|error| format!("{name} afterwards: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_store_that_only_reads_sees_a_newer_schema_soon() -> TestResult {
    let (_directory, store) = open(quick()).await;
    store.agents().save(&agent("a")).await?;
    store.agents().get("a").await?;
    connect_patiently(store.path())
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('0999')")?;
    let started = std::time::Instant::now();
    while store.agents().get("a").await.is_ok() {
        assert!(started.elapsed() < DEADLINE, "it is never seen");
    }
    let error = store.agents().get("a").await.err().ok_or("read")?;
    assert_eq!(error.kind(), ErrorKind::NewerDatabase, "{error}");
    Ok(())
}
