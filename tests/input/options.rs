//! Options that can't be, and stores that contradict one another.

use std::time::Duration;

use descartes_state::{
    DatabaseFailure, Durability, Limits, OpenMode, SqliteStateStore, StateStoreError, StoreOptions,
};

use descartes_state_testing::{TestResult, agent};

#[tokio::test]
async fn options_that_can_not_be_are_refused_before_a_file_is_made() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    let bad = [
        (StoreOptions::default().readers(0), "readers"),
        (StoreOptions::default().readers(1_025), "readers"),
        (
            StoreOptions::default().readers(2).kept_connections(3),
            "kept_connections",
        ),
        (StoreOptions::default().write_queue(0), "write_queue"),
        (
            StoreOptions::default().busy_timeout(Duration::from_hours(600)),
            "busy_timeout",
        ),
    ];
    for (options, named) in bad {
        for result in [
            SqliteStateStore::open(&path, options.clone()).await,
            SqliteStateStore::temporary_with(options).await,
        ] {
            let error = result.err().ok_or(format!("{named} was taken"))?;
            let text = error.to_string();
            assert!(
                matches!(
                    error,
                    StateStoreError::InvalidInput {
                        field: "options",
                        ..
                    }
                ),
                "{text}"
            );
            assert!(text.contains(named), "{text}");
        }
    }
    assert!(!path.exists());
    Ok(())
}

#[tokio::test]
async fn limits_that_can_not_be_are_refused_before_a_file_is_made() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state.db");
    let limits = Limits::default;
    for (limits, named) in [
        (limits().id_bytes(0), "id_bytes is 0"),
        (limits().text_bytes(usize::MAX), "text_bytes is"),
        (limits().metadata_bytes(0), "metadata_bytes is 0"),
        (limits().metadata_levels(121), "metadata_levels is 121"),
        (limits().state_bytes(0), "state_bytes is 0"),
        (limits().content_bytes(0), "content_bytes is 0"),
        (limits().search_bytes(0), "search_bytes is 0"),
        (limits().list_rows(0), "list_rows is 0"),
        (limits().page_rows(0), "page_rows is 0"),
        (limits().page_rows(u32::MAX), "page_rows is 4294967295"),
        (limits().bulk_rows(0), "bulk_rows is 0"),
    ] {
        let options = StoreOptions::default().limits(limits);
        for result in [
            SqliteStateStore::open(&path, options.clone()).await,
            SqliteStateStore::temporary_with(options).await,
        ] {
            let error = result.err().ok_or(format!("{named} was taken"))?;
            assert!(
                matches!(&error, StateStoreError::InvalidInput { field: "limits", reason } if reason.contains(named)),
                "{error}"
            );
        }
    }
    assert!(!path.exists());
    Ok(())
}

#[tokio::test]
async fn a_store_tells_the_limits_it_was_opened_with() -> TestResult {
    let limits = Limits::default().state_bytes(9_000).page_rows(7);
    let options = StoreOptions::default().limits(limits.clone());
    let store = SqliteStateStore::temporary_with(options).await?;
    assert_eq!(store.limits(), &limits);
    let told = store.with_prefix("tenant").limits().clone();
    assert_eq!((told.max_state_bytes(), told.max_page_rows()), (9_000, 7));
    Ok(())
}

#[tokio::test]
async fn the_smallest_and_largest_options_work() -> TestResult {
    for options in [
        StoreOptions::default()
            .readers(1)
            .kept_connections(0)
            .write_queue(1),
        StoreOptions::default()
            .readers(1_024)
            .inline_budget(Duration::ZERO),
        StoreOptions::default().busy_timeout(Duration::ZERO),
    ] {
        let store = SqliteStateStore::temporary_with(options).await?;
        store.save_agent_state(&agent("a")).await?;
        assert_eq!(store.list_agents().await?, [agent("a")]);
    }
    Ok(())
}

#[tokio::test]
async fn full_durability_is_not_given_by_a_relaxed_store() -> TestResult {
    let relaxed = StoreOptions::default().durability(Durability::Relaxed);
    let store = SqliteStateStore::temporary_with(relaxed.clone()).await?;
    let full = SqliteStateStore::new(store.path(), false).await;
    assert!(
        matches!(
            full,
            Err(StateStoreError::InvalidInput {
                field: "options",
                ..
            })
        ),
        "{full:?}"
    );
    SqliteStateStore::open(store.path(), relaxed).await?;
    Ok(())
}

#[tokio::test]
async fn an_existing_file_is_asked_for_and_nothing_is_made() -> TestResult {
    let directory = tempfile::tempdir()?;
    let existing = StoreOptions::default().mode(OpenMode::Existing);
    for missing in ["missing.db", "missing/state.db"] {
        let path = directory.path().join(missing);
        let error = SqliteStateStore::open(&path, existing.clone()).await.err();
        let error = error.ok_or("a missing file was opened")?;
        assert!(
            matches!(&error, StateStoreError::DatabaseError(error) if error.kind() == DatabaseFailure::Missing),
            "{error:?}"
        );
        assert!(error.to_string().contains("missing"), "{error}");
    }
    assert_eq!(std::fs::read_dir(directory.path())?.count(), 0);

    let path = directory.path().join("state.db");
    let store = SqliteStateStore::new(&path, false).await?;
    store.close().await?;
    let store = SqliteStateStore::open(&path, existing.clone()).await?;
    let result = store.initialize().await;
    assert!(
        matches!(result, Err(StateStoreError::NotInitialized { .. })),
        "{result:?}"
    );
    store.close().await?;
    SqliteStateStore::new(&path, false)
        .await?
        .initialize()
        .await?;
    SqliteStateStore::open(&path, existing)
        .await?
        .initialize()
        .await?;
    Ok(())
}

#[test]
fn a_store_outside_of_a_runtime_says_what_is_missing() {
    let mut opening = Box::pin(SqliteStateStore::temporary());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = Future::poll(opening.as_mut(), &mut context);
    let std::task::Poll::Ready(Err(error)) = polled else {
        unreachable!("it needs a runtime: {polled:?}");
    };
    assert!(
        matches!(error, StateStoreError::Unsupported { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}
