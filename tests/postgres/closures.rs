//! Closures: what fails inside one leaves it usable, and what it ends itself is noticed.

use descartes_state::diesel::connection::{
    AnsiTransactionManager, SimpleConnection, TransactionManager,
};
use descartes_state::diesel::dsl::sql;
use descartes_state::diesel::prelude::*;
use descartes_state::{
    ChangeIf, PostgresStateStore, SaveIf, StateStoreError, StoreOptions, diesel,
};
use descartes_state_testing::{agent, event};

use crate::{open, open_with};

#[tokio::test]
async fn a_call_that_fails_inside_a_closure_harms_no_other() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    store
        .transact(|tx| {
            tx.agents().save(&agent("a"))?;
            let refused = tx.agents().save_if(&agent("a"), SaveIf::Absent);
            assert!(matches!(refused, Err(StateStoreError::Conflict { .. })));
            let refused = tx.tasks().delete(&descartes_state::new_id(), ChangeIf::Any);
            assert!(matches!(refused, Err(StateStoreError::NotFound { .. })));
            // A constraint of the server's.
            let mut forged = agent("b");
            forged.status = "fine".into();
            tx.agents().save(&forged)?;
            tx.events().append(&event("still here"))?;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(store.list_agents().await.unwrap().len(), 2);
    assert_eq!(store.search_events("still").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_closure_has_the_connection_and_sees_what_it_wrote() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    use descartes_state::schema::postgres::agent_states;
    let rows: i64 = store
        .transact(|tx| {
            tx.agents().save(&agent("a"))?;
            Ok(agent_states::table.count().get_result(tx.postgres()?)?)
        })
        .await
        .unwrap();
    assert_eq!(rows, 1);
    let other = store.read(|tx| tx.sqlite().map(drop)).await;
    assert!(matches!(other, Err(StateStoreError::Unsupported { .. })));
}

#[tokio::test]
async fn a_closure_that_ends_its_transaction_is_told_so() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    for end in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"] {
        let ended = store
            .transact(move |tx| {
                tx.agents().save(&agent("kept?"))?;
                Ok(tx.postgres()?.batch_execute(end)?)
            })
            .await;
        assert!(
            matches!(ended, Err(StateStoreError::TransactionEscaped)),
            "{end}: {ended:?}"
        );
        let failed: Result<(), _> = store
            .transact(move |tx| {
                tx.postgres()?.batch_execute(end)?;
                Err(StateStoreError::application("no"))
            })
            .await;
        assert!(
            matches!(failed, Err(StateStoreError::TransactionEscaped)),
            "{end}: {failed:?}"
        );
        // The next has a clean connection.
        store.agents().save(&agent("b")).await.unwrap();
    }
    let failed = store.transact(|tx| Ok(tx.postgres()?.batch_execute("SELECT 1 / 0")?));
    let failed = failed.await;
    assert!(
        matches!(failed, Err(StateStoreError::DatabaseError(_))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_closure_that_leaves_a_transaction_of_its_own_open_is_told_so() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let ended = store
        .transact(|tx| {
            tx.agents().save(&agent("inside"))?;
            let connection = tx.postgres()?;
            Ok(AnsiTransactionManager::begin_transaction(connection)?)
        })
        .await;
    assert!(
        matches!(ended, Err(StateStoreError::TransactionEscaped)),
        "{ended:?}"
    );
    let ended = store
        .read(|tx| Ok(AnsiTransactionManager::begin_transaction(tx.postgres()?)?))
        .await;
    assert!(
        matches!(ended, Err(StateStoreError::TransactionEscaped)),
        "{ended:?}"
    );
    let failed: Result<(), _> = store
        .read(|tx| {
            tx.postgres()?.batch_execute("COMMIT")?;
            Err(StateStoreError::application("no"))
        })
        .await;
    assert!(
        matches!(failed, Err(StateStoreError::TransactionEscaped)),
        "{failed:?}"
    );
    let failed = store.read(|tx| {
        let refused = tx.postgres()?.batch_execute("SELECT 1 / 0");
        assert!(refused.is_err());
        Ok(())
    });
    let failed = failed.await;
    assert!(
        matches!(failed, Err(StateStoreError::DatabaseError(_))),
        "{failed:?}"
    );
    assert_eq!(store.list_agents().await.unwrap(), []);
}

#[tokio::test]
async fn a_closure_that_fails_or_panics_leaves_nothing() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let failed: Result<(), _> = store
        .transact(|tx| {
            tx.agents().save(&agent("a"))?;
            Err(StateStoreError::application("no"))
        })
        .await;
    assert!(matches!(failed, Err(StateStoreError::Application(_))));
    let panicked: Result<(), _> = store
        .transact(|tx| {
            tx.agents().save(&agent("a"))?;
            panic!("no");
        })
        .await;
    assert!(matches!(panicked, Err(StateStoreError::Panicked { .. })));
    assert_eq!(store.list_agents().await.unwrap(), []);
}

#[tokio::test]
async fn a_read_closure_sees_one_snapshot_and_writes_nothing() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let other = store.clone();
    let seen = store
        .read(move |tx| {
            let filter = descartes_state::AgentFilter::default();
            let before = tx.agents().count(&filter)?;
            tokio::runtime::Handle::current()
                .block_on(async {
                    // From another task: this one is inside the closure.
                    tokio::spawn(async move { other.save_agent_state(&agent("a")).await }).await
                })
                .unwrap()?;
            Ok((before, tx.agents().count(&filter)?))
        })
        .await
        .unwrap();
    assert_eq!(seen, (0, 0));
    let refused = store
        .read(|tx| Ok(tx.postgres()?.batch_execute("DELETE FROM agent_states")?))
        .await;
    assert_eq!(
        refused.unwrap_err().kind(),
        descartes_state::error::ErrorKind::ReadOnly
    );
}

#[tokio::test]
async fn a_connection_that_a_closure_had_is_kept_and_as_new() {
    let options = StoreOptions::default().readers(1);
    let Some((schema, store)) = open_with(options.clone()).await else {
        return;
    };
    drop(store);
    // Where what Diesel sets once isn't what the server has.
    let elsewhere = "&options=-c%20timezone%3DAsia/Tokyo&client_encoding=LATIN1";
    let url = format!("{}{elsewhere}", schema.url());
    let store = PostgresStateStore::connect(&url, options).await.unwrap();
    // What a session has of its own, the process of its server first.
    let of_session = "pg_backend_pid() || ' ' || concat_ws(' ', current_user, \
         (SELECT string_agg(name || ' = ' || setting, ', ' ORDER BY name) FROM pg_settings), \
         (SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'), (SELECT count(*) FROM pg_cursors), \
         (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()), \
         (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()))";
    let look = async || {
        store
            .transact(move |tx| {
                let seen = sql::<diesel::sql_types::Text>(of_session);
                Ok(diesel::select(seen).get_result::<String>(tx.postgres()?)?)
            })
            .await
            .unwrap()
    };
    store.save_agent_state(&agent("a")).await.unwrap();
    let before = look().await;
    for changes in [
        "SET statement_timeout = 1",
        "SET search_path = pg_catalog",
        "SET LOCAL search_path = pg_catalog",
        "SET application_name = 'another'",
        "SET ROLE pg_read_all_data",
        "SET SESSION AUTHORIZATION pg_read_all_data",
        "CREATE TEMPORARY TABLE agent_states (id bigint)",
        "LISTEN something",
        "SELECT pg_advisory_lock(1)",
        "PREPARE mine AS SELECT 1",
        "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
        "DEALLOCATE ALL",
        "LISTEN something; NOTIFY something",
        "SET client_encoding = LATIN1; SET TIME ZONE 'Asia/Tokyo'",
    ] {
        store
            .transact(move |tx| Ok(tx.postgres()?.batch_execute(changes)?))
            .await
            .unwrap();
        assert_eq!(look().await, before, "{changes}");
        let failed: Result<(), _> = store
            .transact(move |tx| {
                tx.postgres()?.batch_execute(changes)?;
                Err(StateStoreError::application("no"))
            })
            .await;
        assert!(matches!(failed, Err(StateStoreError::Application(_))));
        assert_eq!(look().await, before, "{changes}, rolled back");
        let mut state = agent("a");
        state.name = "Zoë 服务端".into();
        store.save_agent_state(&state).await.unwrap();
        assert_eq!(store.list_agents().await.unwrap(), [state]);
        let heard = store.transact(|tx| Ok(tx.postgres()?.notifications_iter().count()));
        assert_eq!(heard.await.unwrap(), 0, "{changes}");
    }
}

#[tokio::test]
async fn what_a_closure_sets_is_no_other_calls() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    store
        .transact(|tx| {
            Ok(tx
                .postgres()?
                .batch_execute("SET search_path = pg_catalog; SET synchronous_commit = off")?)
        })
        .await
        .unwrap();
    store
        .transact(|tx| Ok(tx.postgres()?.batch_execute("SET statement_timeout = 1")?))
        .await
        .unwrap();
    store.save_agent_state(&agent("a")).await.unwrap();
    let slow = store.transact(|tx| Ok(tx.postgres()?.batch_execute("SELECT pg_sleep(0.05)")?));
    slow.await.unwrap();
    let ended = store
        .read(|tx| {
            Ok(tx
                .postgres()?
                .batch_execute("COMMIT; DELETE FROM agent_states")?)
        })
        .await;
    assert!(
        matches!(ended, Err(StateStoreError::TransactionEscaped)),
        "{ended:?}"
    );
}
