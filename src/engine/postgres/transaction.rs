//! One try of an operation in a transaction, and what became of it.

use diesel::PgConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager, get_default_instrumentation};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text};

use crate::clock::new_id;
use crate::commit_notes::CommitNotes;
use crate::engine::runtime::catch_panic;
use crate::engine::transaction::{DatabaseId, as_closure_of};
use crate::error::{ErrorKind, StateStoreError};

/// What became of a try.
pub(super) enum Tried<T> {
    Done(Result<T, StateStoreError>),
    /// Nothing was kept, for a reason that passes.
    Again(StateStoreError),
    /// The connection broke in the commit.
    Unknown {
        transaction: Transaction,
        value: T,
        error: StateStoreError,
    },
}

/// What is to become of the connection after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Keep,
    /// A caller has had it, who may have set anything.
    Reset,
    Close,
}

impl Afterwards {
    fn of_transaction(connection: &mut PgConnection, is_lent: bool) -> Self {
        match (depth(connection), is_lent) {
            (Ok(None), false) => Self::Keep,
            (Ok(None), true) => Self::Reset,
            _ => Self::Close,
        }
    }

    fn of_read(is_intact: bool) -> Self {
        if is_intact { Self::Keep } else { Self::Close }
    }
}

/// The number that the server gave a transaction, and the life of the server in which it did: after a crash, numbers of transactions
/// that were lost are given again.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    number: i64,
    life: Option<String>,
}

diesel::table! {
    /// Emptied by a crash (migration 0001).
    crash_witness (only_row) {
        only_row -> Bool,
        token -> Text,
    }
}

/// Begins a life of the server, where a crash has ended the one before.
pub(super) fn witness_crashes(connection: &mut PgConnection) -> Result<(), StateStoreError> {
    let begin = diesel::insert_into(crash_witness::table)
        .values(crash_witness::token.eq(new_id().to_string()))
        .on_conflict_do_nothing()
        .execute(connection);
    match begin.map_err(StateStoreError::from) {
        Ok(_) => Ok(()),
        // Who may not write commits nothing.
        Err(error) => match error.kind() {
            ErrorKind::ReadOnly | ErrorKind::PermissionDenied => Ok(()),
            _ => Err(error),
        },
    }
}

/// Returns up to which number each table is whole, before a snapshot is taken.
pub(crate) type BeforeSnapshot =
    fn(&mut PgConnection) -> Result<Vec<(&'static str, i64)>, StateStoreError>;

/// Whose work it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// The store's own: it may be done again.
    Own,
    /// A caller's closure, of this database.
    Closure(DatabaseId),
}

/// Runs work in a transaction, and commits it.
pub(super) fn write_once<T>(
    connection: &mut PgConnection,
    life: &mut Option<String>,
    whose: Work,
    locks: &[i64],
    work: &mut dyn FnMut(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>,
) -> (Tried<T>, Afterwards) {
    let mark = match whose {
        Work::Own => None,
        Work::Closure(_) => Some(new_id().simple().to_string()),
    };
    let begin = match &mark {
        None => "BEGIN".to_owned(),
        // It goes with the transaction, so that one that the closure has ended is noticed.
        Some(mark) => format!("BEGIN; SET LOCAL descartes_state.closure = '{mark}'"),
    };
    let begun = match life {
        Some(_) => Ok(()),
        None => life_of_server(connection).map(|found| *life = found),
    };
    let begun = begun.and_then(|()| {
        AnsiTransactionManager::begin_transaction_sql(connection, &begin)?;
        Ok(())
    });
    if let Err(error) = begun {
        return (failed(error), Afterwards::Close);
    }
    let mut notes = CommitNotes::default();
    let result = catch_panic(|| match whose {
        Work::Own => {
            take(connection, locks)?;
            work(connection, &mut notes)
        }
        Work::Closure(database) => as_closure_of(database, || work(connection, &mut notes)),
    });
    let is_lent = take_back(connection, &notes);
    let ended = match &result {
        Ok(_) => match (notes.transaction, &mark) {
            // The store's own statement has said so.
            (Some(number), None) if life.is_some() => Ok(Some(Transaction {
                number,
                life: life.clone(),
            })),
            _ => number(connection, life, mark.as_deref()),
        },
        Err(_) => Ok(None),
    };
    match (result, ended) {
        (Ok(value), Ok(number)) => match AnsiTransactionManager::commit_transaction(connection) {
            Ok(()) => {
                let afterwards = Afterwards::of_transaction(connection, is_lent);
                (Tried::Done(Ok(value)), afterwards)
            }
            Err(error) => (
                unknown(whose, error.into(), value, number),
                Afterwards::Close,
            ),
        },
        (Ok(_), Err(error)) => {
            let mut afterwards = rollback(connection, is_lent);
            if matches!(error, StateStoreError::TransactionEscaped) {
                afterwards = Afterwards::Close;
            }
            (failed_as(whose, error), afterwards)
        }
        (Err(error), _) => match mark {
            Some(mark) if is_lent && has_ended(connection, &mark) => {
                rollback(connection, is_lent);
                (
                    Tried::Done(Err(StateStoreError::TransactionEscaped)),
                    Afterwards::Close,
                )
            }
            _ => {
                let afterwards = rollback(connection, is_lent);
                (failed_as(whose, error), afterwards)
            }
        },
    }
}

/// Takes locks that go with the transaction, one after the other.
fn take(connection: &mut PgConnection, locks: &[i64]) -> Result<(), StateStoreError> {
    if locks.is_empty() {
        return Ok(());
    }
    let take = diesel::sql_query("SELECT pg_advisory_xact_lock(key) FROM unnest($1) AS key");
    take.bind::<Array<BigInt>, _>(locks).execute(connection)?;
    Ok(())
}

/// Reads, each statement by itself.
pub(super) fn read_once<T>(
    connection: &mut PgConnection,
    work: &mut dyn FnMut(&mut PgConnection) -> Result<T, StateStoreError>,
) -> (Tried<T>, Afterwards) {
    match catch_panic(|| work(connection)) {
        Ok(value) => (Tried::Done(Ok(value)), Afterwards::Keep),
        Err(error) => {
            let is_intact = error.kind() != ErrorKind::ConnectionLost
                && !matches!(error, StateStoreError::Panicked { .. });
            (failed(error), Afterwards::of_read(is_intact))
        }
    }
}

/// Reads in one snapshot. The closure is taken once the transaction is open; before that, the read may begin again.
pub(super) fn read_in_snapshot<T, F>(
    connection: &mut PgConnection,
    database: DatabaseId,
    before: BeforeSnapshot,
    closure: &mut Option<F>,
) -> (Tried<T>, Afterwards)
where
    F: FnOnce(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>,
{
    let mark = new_id().simple().to_string();
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL descartes_state.closure = '{mark}'"
    );
    let begun = before(connection).and_then(|settled| {
        AnsiTransactionManager::begin_transaction_sql(connection, &begin)?;
        Ok(settled)
    });
    let settled = match begun {
        Ok(settled) => settled,
        Err(error) => return (failed(error), Afterwards::Close),
    };
    let mut notes = CommitNotes {
        settled,
        ..CommitNotes::default()
    };
    let result = catch_panic(|| {
        let closure = closure.take().ok_or(StateStoreError::Closed)?;
        as_closure_of(database, || closure(connection, &mut notes))
    });
    let is_lent = take_back(connection, &notes);
    let ended = match &result {
        _ if !is_lent => Ok(()),
        Ok(_) => found_mark(connection)
            .map_err(StateStoreError::from)
            .and_then(|found| require_open(connection, found.as_deref(), &mark)),
        Err(_) if has_ended(connection, &mark) => Err(StateStoreError::TransactionEscaped),
        Err(_) => Ok(()),
    };
    match ended {
        Ok(()) => (Tried::Done(result), rollback(connection, is_lent)),
        Err(error) => (Tried::Done(Err(error)), Afterwards::Close),
    }
}

/// Asks the server what became of a transaction; `None` where it isn't over.
///
/// # Errors
/// `Unsupported` where the server can't know, besides the database's.
pub(super) fn was_committed(
    connection: &mut PgConnection,
    transaction: &Transaction,
) -> Result<Option<bool>, StateStoreError> {
    let status = sql::<Nullable<Text>>("pg_xact_status(")
        .bind::<Text, _>(transaction.number.to_string())
        .sql("::xid8)");
    let life = crash_witness::table
        .select(crash_witness::token)
        .single_value();
    let (status, life): (Option<String>, Option<String>) =
        diesel::select((status, life)).get_result(connection)?;
    if life.is_none() || life != transaction.life {
        return Err(StateStoreError::Unsupported {
            reason: "the server has crashed since, or is another one".into(),
        });
    }
    Ok(match status.as_deref() {
        Some("committed") => Some(true),
        Some("aborted") => Some(false),
        _ => None,
    })
}

/// The mark of the closure whose transaction is open.
const MARK: &str = "nullif(current_setting('descartes_state.closure', true), '')";

/// Returns the closure's mark; `None` where its transaction is over.
fn found_mark(connection: &mut PgConnection) -> QueryResult<Option<String>> {
    diesel::select(sql::<Nullable<Text>>(MARK)).get_result(connection)
}

/// Returns whether a caller has had the connection. An instrumentation that the caller gave it sees nothing of what follows.
fn take_back(connection: &mut PgConnection, notes: &CommitNotes) -> bool {
    let is_lent = notes.lent_within.is_some();
    if is_lent {
        connection.set_instrumentation(get_default_instrumentation());
    }
    is_lent
}

/// Checks that the transaction of a closure is still open, and no other within it.
fn require_open(
    connection: &mut PgConnection,
    found: Option<&str>,
    mark: &str,
) -> Result<(), StateStoreError> {
    if found == Some(mark) && matches!(depth(connection), Ok(Some(1))) {
        Ok(())
    } else {
        Err(StateStoreError::TransactionEscaped)
    }
}

/// Returns whether a closure that failed has ended its transaction before. One that PostgreSQL has given up answers nothing, and is open.
fn has_ended(connection: &mut PgConnection, mark: &str) -> bool {
    let found = found_mark(connection);
    found.is_ok_and(|found| found.as_deref() != Some(mark))
}

fn depth(connection: &mut PgConnection) -> QueryResult<Option<u32>> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(connection);
    Ok(status.transaction_depth()?.map(u32::from))
}

/// Returns the transaction's number where it has written.
fn number(
    connection: &mut PgConnection,
    life: &Option<String>,
    mark: Option<&str>,
) -> Result<Option<Transaction>, StateStoreError> {
    let number = sql::<Nullable<BigInt>>("pg_current_xact_id_if_assigned()::text::bigint");
    let found = sql::<Nullable<Text>>(MARK);
    let (number, found): (Option<i64>, Option<String>) =
        diesel::select((number, found)).get_result(connection)?;
    if let Some(mark) = mark {
        require_open(connection, found.as_deref(), mark)?;
    }
    Ok(number.map(|number| Transaction {
        number,
        life: life.clone(),
    }))
}

/// Returns in which life of the server this connection was opened; `None` where that can't be read, as on a standby.
fn life_of_server(connection: &mut PgConnection) -> Result<Option<String>, StateStoreError> {
    let life = crash_witness::table.select(crash_witness::token);
    let life = life.first(connection).optional();
    match life.map_err(StateStoreError::from) {
        Err(error) if error.kind() != ErrorKind::ConnectionLost => Ok(None),
        life => life,
    }
}

fn failed<T>(error: StateStoreError) -> Tried<T> {
    if error.is_transient() {
        Tried::Again(error)
    } else {
        Tried::Done(Err(error))
    }
}

/// As [`failed`], after work that was begun: a caller's closure isn't called again.
fn failed_as<T>(whose: Work, error: StateStoreError) -> Tried<T> {
    match whose {
        Work::Own => failed(error),
        Work::Closure(_) => Tried::Done(Err(error)),
    }
}

/// What a commit that failed means.
fn unknown<T>(
    whose: Work,
    error: StateStoreError,
    value: T,
    number: Option<Transaction>,
) -> Tried<T> {
    match number {
        // It has written nothing.
        None if error.kind() == ErrorKind::ConnectionLost => Tried::Done(Ok(value)),
        Some(transaction) if error.kind() == ErrorKind::ConnectionLost => Tried::Unknown {
            transaction,
            value,
            error,
        },
        _ => failed_as(whose, error),
    }
}

fn rollback(connection: &mut PgConnection, is_lent: bool) -> Afterwards {
    match AnsiTransactionManager::rollback_transaction(connection) {
        Ok(()) => Afterwards::of_transaction(connection, is_lent),
        Err(_) => Afterwards::Close,
    }
}
