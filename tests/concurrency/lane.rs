//! Who has the store to itself: seen where it calls the store again, named where it can't be seen, and nobody's for ever.

use std::time::Duration;

use descartes_state::StateStoreError;
use descartes_state::diesel::connection::DefaultLoadingMode;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::{self, sql_query};
use descartes_state_testing::{TestResult, agent, block_on, open, open_in, quick, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_waits_for_a_closure_in_vain_names_it() -> TestResult {
    let options = quick().acquire_timeout(Duration::from_millis(300));
    let (_directory, store) = open(options).await;
    let (inner, runtime) = (store.clone(), tokio::runtime::Handle::current());
    // It waits for itself, through a task, so that nobody can tell.
    let waits_for_itself = store.transact(move |_| {
        let task = runtime.spawn(async move { inner.agents().save(&agent("a")).await });
        runtime
            .block_on(task)
            .map_err(StateStoreError::application)?
    });
    let error = soon(waits_for_itself).await.err().ok_or("it ended")?;
    let text = error.to_string();
    assert!(matches!(error, StateStoreError::Timeout { .. }), "{text}");
    assert!(
        text.contains("a_write_that_waits_for_a_closure_in_vain_names_it")
            && text.contains("`transact`"),
        "{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_beside_a_closure_that_takes_two_seconds_succeeds() -> TestResult {
    let (_directory, store) = open(quick()).await;
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let long = store.clone();
    let closure = tokio::spawn(async move {
        let work = long.transact(move |_| {
            let _ = entered.send(());
            #[allow(clippy::disallowed_methods)] // The closure's time is the subject.
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        });
        work.await
    });
    has_entered.await?;
    soon(store.agents().save(&agent("a"))).await?;
    closure.await??;
    Ok(())
}

#[tokio::test]
async fn a_store_is_known_again_through_another_store_and_closures_within_closures() -> TestResult {
    let (directory, store) = open(quick()).await;
    let again = open_in(&directory, quick()).await;
    let prefixed = store.with_prefix("tenant");
    let (_elsewhere, other) = open(quick()).await;
    let errors = store.transact(move |_| {
        let mut errors = Vec::new();
        for same in [&again, &prefixed] {
            errors.push(block_on(same.agents().get("a")).map(drop));
            errors.push(block_on(same.agents().save(&agent("a"))).map(drop));
        }
        // Another database is another matter.
        block_on(other.agents().save(&agent("a")))?;
        Ok(errors)
    });
    for error in errors.await? {
        assert!(
            matches!(error, Err(StateStoreError::Reentrant { .. })),
            "{error:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_with_a_statement_left_running_is_thrown_away() -> TestResult {
    let (_directory, store) = open(quick().readers(1)).await;
    store.agents().save(&agent("before")).await?;
    let leaked = store.read(|tx| {
        let rows = sql_query("SELECT 1 AS number UNION ALL SELECT count(*) FROM agent_states")
            .load_iter::<Number, DefaultLoadingMode>(tx.sqlite()?)?;
        let mut rows = rows;
        let first = rows.next();
        assert!(first.is_some());
        std::mem::forget(rows);
        Ok(())
    });
    // Whatever the closure hears of it.
    let _heard = leaked.await;
    store.agents().save(&agent("after")).await?;
    // One that kept the closure's snapshot would not see it.
    assert!(store.agents().get("after").await?.is_some());
    assert_eq!(store.list_agents().await?.len(), 2);
    Ok(())
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    #[allow(dead_code)] // It is only loaded.
    number: i64,
}
