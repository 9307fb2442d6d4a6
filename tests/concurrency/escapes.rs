//! Closures that reach for what is the store's: they end the transaction, or change the connection.

use descartes_state::diesel;
use descartes_state::diesel::connection::{
    AnsiTransactionManager, SimpleConnection, TransactionManager,
};
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::Text;
use descartes_state::{AgentFilter, ReadTransaction, StateStoreError};
use descartes_state_testing::{
    agent, connect, connect_patiently, count, numbered_event, open, quick, soon,
};

use super::closures::assert_usable;

type Failure = StateStoreError;
type Done = Result<(), Failure>;

type Escape = fn(&mut SqliteConnection) -> QueryResult<()>;

/// Ways out of the transaction, by raw SQL and by Diesel.
fn escapes() -> Vec<(&'static str, Escape)> {
    fn nested(connection: &mut SqliteConnection) -> QueryResult<()> {
        AnsiTransactionManager::begin_transaction(connection)
    }
    vec![
        ("COMMIT", |connection| connection.batch_execute("COMMIT")),
        ("END", |connection| connection.batch_execute("END")),
        ("ROLLBACK", |connection| {
            connection.batch_execute("ROLLBACK")
        }),
        ("COMMIT; BEGIN", |connection| {
            connection.batch_execute("COMMIT; BEGIN")
        }),
        ("COMMIT; BEGIN; SAVEPOINT", |connection| {
            connection.batch_execute("COMMIT; BEGIN; SAVEPOINT operation")
        }),
        ("a nested transaction that is left open", nested),
        ("COMMIT through Diesel", |connection| {
            AnsiTransactionManager::commit_transaction(connection)
        }),
        ("COMMIT, and an error after it", |connection| {
            connection.batch_execute("COMMIT; COMMIT")
        }),
    ]
}

#[tokio::test]
async fn a_closure_that_ends_its_transaction_is_caught_and_the_next_finds_a_clean_connection() {
    let (_directory, store) = open(quick()).await;
    for (label, escape) in escapes() {
        let caught = soon(store.transact(move |tx| -> Done {
            tx.agents().save(&agent("escaped"))?;
            Ok(escape(tx.sqlite()?)?)
        }))
        .await;
        assert!(
            matches!(caught, Err(Failure::TransactionEscaped)),
            "{label}: {caught:?}"
        );
        assert_usable(&store, label).await;
        let caught = soon(store.read(move |tx| -> Done {
            tx.agents().count(&AgentFilter::default())?;
            Ok(escape(tx.sqlite()?)?)
        }))
        .await;
        assert!(
            matches!(caught, Err(Failure::TransactionEscaped)),
            "read, {label}: {caught:?}"
        );
        assert_usable(&store, &format!("a read with {label}")).await;
    }
    // A panic after an escape must not be told as a rollback.
    let caught = soon(store.transact(|tx| -> Done {
        tx.sqlite()?.batch_execute("COMMIT")?;
        panic!("after COMMIT")
    }))
    .await;
    assert!(
        matches!(caught, Err(Failure::TransactionEscaped)),
        "{caught:?}"
    );
    assert_usable(&store, "a panic after COMMIT").await;
}

/// SQLite ends the transaction by itself, and the closure takes no notice.
#[tokio::test]
async fn a_closure_that_goes_on_after_its_transaction_was_rolled_back_is_no_success() {
    let (_directory, store) = open(quick()).await;
    connect_patiently(store.path())
        .batch_execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON agent_states WHEN new.name = 'refused'
             BEGIN SELECT RAISE(ROLLBACK, 'constraint failed'); END;",
        )
        .unwrap();
    for takes_connection in [false, true] {
        let caught = soon(store.transact(move |tx| -> Done {
            tx.agents().save(&agent("lost"))?;
            let mut refused = agent("refused");
            refused.name = "refused".into();
            assert!(tx.agents().save(&refused).is_err());
            if takes_connection {
                assert!(tx.sqlite().is_err());
                assert!(tx.sqlite().is_err());
            }
            Ok(())
        }))
        .await;
        assert!(
            matches!(caught, Err(Failure::TransactionEscaped)),
            "{caught:?}"
        );
        assert_eq!(
            count(&mut connect_patiently(store.path()), "agent_states"),
            0
        );
    }
    assert_usable(&store, "after a rollback").await;
}

/// A setting as text.
fn setting(connection: &mut SqliteConnection, value: &str, from: &str) -> String {
    diesel::select(diesel::dsl::sql::<Text>(&format!(
        "(SELECT CAST({value} AS TEXT) FROM {from})"
    )))
    .get_result(connection)
    .unwrap()
}

#[tokio::test]
async fn what_a_closure_sets_on_its_connection_does_not_leak() {
    const SETTINGS: &[(&str, &str, &str)] = &[
        ("PRAGMA query_only = ON", "query_only", "pragma_query_only"),
        ("PRAGMA busy_timeout = 1", "timeout", "pragma_busy_timeout"),
        (
            "PRAGMA ignore_check_constraints = ON",
            "ignore_check_constraints",
            "pragma_ignore_check_constraints",
        ),
        (
            "PRAGMA locking_mode = EXCLUSIVE",
            "locking_mode",
            "pragma_locking_mode",
        ),
        (
            "PRAGMA max_page_count = 100000",
            "max_page_count",
            "pragma_max_page_count",
        ),
        (
            "PRAGMA recursive_triggers = ON",
            "recursive_triggers",
            "pragma_recursive_triggers",
        ),
        (
            "CREATE TEMP TABLE agent_states (key TEXT)",
            "count(*)",
            "temp.sqlite_schema",
        ),
        (
            "CREATE TEMP TRIGGER mine AFTER INSERT ON main.events BEGIN SELECT RAISE(ABORT, 'mine'); END",
            "count(*)",
            "temp.sqlite_schema",
        ),
        (
            "ATTACH ':memory:' AS mine",
            "count(*)",
            "pragma_database_list WHERE name <> 'temp'",
        ),
    ];
    let (_directory, store) = open(quick().readers(1)).await;
    for (set, value, from) in SETTINGS {
        let look = move |tx: &mut ReadTransaction<'_>| Ok(setting(tx.sqlite()?, value, from));
        let written = soon(store.transact(move |tx| look(tx))).await.unwrap();
        let read = soon(store.read(move |tx| look(tx))).await.unwrap();
        // With `query_only` it can't commit; that is its own affair.
        let set_by_write =
            soon(store.transact(move |tx| Ok(tx.sqlite()?.batch_execute(set)?))).await;
        assert!(
            set_by_write.is_ok() || set.contains("query_only"),
            "{set}: {set_by_write:?}"
        );
        assert_eq!(
            soon(store.transact(move |tx| look(tx))).await.unwrap(),
            written,
            "{set}"
        );
        // A read may not create anything, temporary or not.
        let refused = soon(store.read(move |tx| Ok(tx.sqlite()?.batch_execute(set)?))).await;
        assert!(
            refused.is_ok() || set.starts_with("CREATE"),
            "{set}: {refused:?}"
        );
        assert_eq!(
            soon(store.read(move |tx| look(tx))).await.unwrap(),
            read,
            "read: {set}"
        );
        assert_usable(&store, set).await;
        soon(store.save_event(&numbered_event(0, "kept")))
            .await
            .unwrap();
    }
    let mut other = connect(store.path());
    assert_eq!(
        count(&mut other, "agent_states"),
        2 * i64::try_from(SETTINGS.len()).unwrap()
    );
}
