//! A search index that is missing or damaged stops nothing but what needs it, and is made again.

use std::path::Path;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{EventFilter, PageRequest, Session, SqliteStateStore, StateStoreError};

use descartes_state_testing::{
    TestResult, agent, assert_intact, connect_patiently, event, open, quick, soon, task,
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
async fn neighbours_that_need_no_index_are_written_and_the_others_hear_why_not() -> TestResult {
    for sql in DAMAGES {
        let (directory, store) = open(quick()).await;
        store.events().append(&event("before")).await?;
        damage(store.path(), sql);
        let writes = (0..300).map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                if number % 40 == 7 {
                    store.events().append(&event("during")).await.map(drop)
                } else {
                    let name = format!("agent {number}");
                    store.agents().save(&agent(&name)).await.map(drop)
                }
            })
        });
        let writes: Vec<_> = writes.collect();
        let mut refused = 0;
        for (number, write) in writes.into_iter().enumerate() {
            let result = soon(write).await?;
            if number % 40 == 7 {
                refused += usize::from(is_damaged(result));
            } else {
                result.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
        }
        assert_eq!(store.list_agents().await?.len(), 292, "{sql}");
        let page = PageRequest::new(100);
        let listed = store.events().list(&EventFilter::default(), &page).await?;
        assert_eq!(listed.items.len(), 9 - refused, "{sql}");
        drop(directory);
    }
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
    assert!(is_damaged(again.events().append(&event("more")).await));
    Ok(())
}
