//! A search index that is missing or damaged stops searches alone, and is made again.

use std::path::Path;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{EventFilter, Session, SqliteStateStore, StateStoreError};

use descartes_state_testing::{
    TestResult, agent, assert_index_is_whole, assert_intact, connect_patiently, event, open, quick,
    soon, task, until_indexed,
};

/// What may befall the index.
const DAMAGES: &[&str] = &[
    "DROP TABLE events_search",
    "DROP TABLE events_search_docsize",
    "DROP TABLE events_search_config",
    "DELETE FROM events_search_config",
    "DELETE FROM events_search_data",
    "UPDATE events_search_data SET block = x'00010203'",
    "DROP TABLE events_search_data",
    "DROP VIEW events_search_source",
];

fn damage(path: &Path, sql: &str) {
    connect_patiently(path).batch_execute(sql).unwrap();
}

fn is_damaged<T: std::fmt::Debug>(result: Result<T, StateStoreError>) -> bool {
    let text = format!("{result:?}");
    match result {
        Err(error @ StateStoreError::SearchIndexDamaged { .. }) => {
            assert!(error.to_string().contains("rebuild_search()"), "{error}");
            true
        }
        other => {
            assert!(other.is_ok(), "{text}");
            false
        }
    }
}

#[tokio::test]
async fn whatever_befell_the_index_every_write_is_kept_and_found_after_a_rebuild() -> TestResult {
    for sql in DAMAGES {
        let (directory, store) = open(quick()).await;
        store.events().append(&event("before")).await?;
        until_indexed(&store).await;
        damage(store.path(), sql);
        // More than a block.
        let writes = (0..600).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                if number % 2 == 0 {
                    store.events().append(&event("during")).await.map(drop)
                } else {
                    let name = format!("agent {number}");
                    store.agents().save(&agent(&name)).await.map(drop)
                }
            })
        });
        let writes: Vec<_> = writes.collect();
        for write in writes {
            soon(write)
                .await?
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        // One that has the lane to itself, and appends a block at once.
        let many: Vec<_> = (0..200).map(|_| event("during")).collect();
        store.events().append_all(&many).await?;
        assert_eq!(store.list_agents().await?.len(), 300, "{sql}");
        let all = EventFilter::default();
        assert_eq!(store.events().count(&all).await?, 501, "{sql}");
        store.events().rebuild_search().await?;
        assert_eq!(store.search_events("during").await?.len(), 500, "{sql}");
        store.close().await?;
        assert_index_is_whole(&mut connect_patiently(&directory.path().join("state.db")));
    }
    Ok(())
}

#[tokio::test]
async fn a_rebuilt_index_is_kept_up_to_date_again_at_once() -> TestResult {
    let (_directory, store) = open(quick()).await;
    store.events().append(&event("before")).await?;
    until_indexed(&store).await;
    damage(store.path(), "DROP TABLE events_search_data");
    let many: Vec<_> = (0..200).map(|_| event("during")).collect();
    // Each finds the index damaged, and the pause after that grows.
    for _ in 0..5 {
        store.events().append_all(&many).await?;
    }
    store.events().rebuild_search().await?;
    store.events().append(&event("after")).await?;
    until_indexed(&store).await;
    Ok(())
}

#[tokio::test]
async fn whatever_befell_the_index_a_rebuild_mends_it() -> TestResult {
    for sql in DAMAGES {
        let (_directory, store) = open(quick()).await;
        store.events().append(&event("findable 项目")).await?;
        store.events().check_search().await?;
        damage(store.path(), sql);
        assert!(is_damaged(store.events().check_search().await), "{sql}");
        store.agents().save(&agent("a")).await?;
        store.save_task(&task("t")).await?;
        store.sessions().start(&Session::new("s", "a")).await?;
        // One that writes through the connection, but no event.
        let plain = store.transact(|tx| {
            Ok(tx
                .sqlite()?
                .batch_execute("UPDATE tasks SET title = 'new'")?)
        });
        plain.await?;
        store.events().rebuild_search().await?;
        store.events().check_search().await?;
        store.events().append(&event("findable too")).await?;
        assert_eq!(store.search_events("findable").await?.len(), 2, "{sql}");
        assert_eq!(store.search_events("项目").await?.len(), 1, "{sql}");
        store.events().purge_before(i64::MAX).await?;
        assert!(store.search_events("findable").await?.is_empty());
        store.events().check_search().await?;
        // The schema is what the migrations make: nothing but the way there differs.
        store.initialize().await?;
        assert_intact(&mut connect_patiently(store.path()));
    }
    Ok(())
}

#[tokio::test]
async fn a_rebuilt_index_is_the_one_that_the_migrations_make() -> TestResult {
    let (_directory, store) = open(quick()).await;
    let before = descartes_state_testing::schema_dump(&mut connect_patiently(store.path()));
    damage(store.path(), "DROP TABLE events_search_config");
    store.events().rebuild_search().await?;
    let after = descartes_state_testing::schema_dump(&mut connect_patiently(store.path()));
    assert_eq!(before, after);
    Ok(())
}

#[tokio::test]
async fn a_search_in_a_damaged_index_says_so() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    store.events().append(&event("findable")).await?;
    damage(store.path(), "DELETE FROM events_search_config");
    // Open connections may have read it before; a fresh store has not.
    let again = SqliteStateStore::temporary().await?;
    again.events().append(&event("findable")).await?;
    damage(again.path(), "DROP TABLE events_search");
    assert!(is_damaged(again.search_events("findable").await.map(drop)));
    // What is written stays; it is found once the index is made again.
    again.events().append(&event("more findable")).await?;
    again.events().rebuild_search().await?;
    assert_eq!(again.search_events("findable").await?.len(), 2);
    Ok(())
}
