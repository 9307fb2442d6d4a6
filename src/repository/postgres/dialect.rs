//! What only PostgreSQL says.

use diesel::define_sql_function;
use diesel::dsl::select;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Oid, Text};

use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::page::{Order, SequenceBounds};

/// The backend that the bodies are compiled for.
pub(super) type Db = Pg;

/// Whether others may write while a transaction is open.
pub(super) const OTHERS_WRITE: bool = true;

/// A connection to it.
pub(crate) type Connection = PgConnection;

define_sql_function! {
    /// The first argument, or the second where the first is NULL.
    fn coalesce(value: Nullable<BigInt>, otherwise: BigInt) -> BigInt;
}

define_sql_function! {
    /// The number that a sequence has given last; NULL where it has given none.
    fn pg_sequence_last_value(sequence: Nullable<Oid>) -> Nullable<BigInt>;
}

define_sql_function! {
    /// How many bytes a value has.
    #[sql_name = "octet_length"]
    fn byte_length(value: Nullable<Text>) -> Nullable<Integer>;
}

/// What [`byte_length`] returns.
pub(super) type Length = i32;

define_sql_function! {
    /// Makes a sequence go on above a number, at once and whatever becomes of the transaction.
    fn setval(sequence: Nullable<Oid>, number: BigInt) -> Nullable<BigInt>;
}

define_sql_function! {
    /// Which relation has this name, in the schema of the connection.
    fn to_regclass(name: Text) -> Nullable<Oid>;
}

define_sql_function! {
    /// The process that serves this connection.
    fn pg_backend_pid() -> Integer;
}

define_sql_function! {
    /// Whether the server follows another one.
    fn pg_is_in_recovery() -> Bool;
}

diesel::table! {
    /// The locks that are held (<https://www.postgresql.org/docs/current/view-pg-locks.html>).
    pg_locks (locktype) {
        locktype -> Text,
        database -> Nullable<Oid>,
        classid -> Nullable<Oid>,
        objid -> Nullable<Oid>,
        objsubid -> Nullable<SmallInt>,
        pid -> Nullable<Integer>,
        granted -> Bool,
    }
}

diesel::table! {
    pg_database (oid) {
        oid -> Oid,
        datname -> Text,
    }
}

define_sql_function! {
    /// The database of the connection.
    fn current_database() -> Text;
}

diesel::allow_tables_to_appear_in_same_query!(pg_locks, pg_database);

/// The tables whose rows have numbers, each with the sequence that gives them.
const NUMBERED: [(&str, &str); 5] = [
    ("state_transitions", "state_transitions_seq"),
    ("state_snapshots", "state_snapshots_seq"),
    ("events", "events_seq"),
    ("tasks", "tasks_seq"),
    ("sessions", "sessions_seq"),
];

fn sequence_of(table: &str) -> Option<&'static str> {
    let numbered = NUMBERED.iter().find(|(name, _)| *name == table);
    numbered.map(|(_, sequence)| *sequence)
}

/// Returns the number that a table has given last; 0 for one that has given none, or gives none.
pub(super) fn last_number(
    connection: &mut Connection,
    table: &'static str,
) -> Result<i64, StateStoreError> {
    let Some(sequence) = sequence_of(table) else {
        return Ok(0);
    };
    let last: Option<i64> =
        select(pg_sequence_last_value(to_regclass(sequence))).get_result(connection)?;
    Ok(last.unwrap_or(0))
}

/// Makes a table give only numbers above this one.
pub(super) fn raise_number(
    connection: &mut Connection,
    table: &'static str,
    number: i64,
) -> Result<(), StateStoreError> {
    if let Some(sequence) = sequence_of(table) {
        let _raised: Option<i64> =
            select(setval(to_regclass(sequence), number)).get_result(connection)?;
    }
    Ok(())
}

/// Returns the bounds of a page that passes over no row. In rising order it stops below the numbers that others have drawn and
/// not committed yet.
pub(super) fn settled(
    connection: &mut Connection,
    notes: &CommitNotes,
    table: &'static str,
    bounds: SequenceBounds,
) -> Result<SequenceBounds, StateStoreError> {
    if bounds.order == Order::Descending {
        return Ok(bounds);
    }
    let known = notes.settled.iter().find(|(name, _)| *name == table);
    let until = match known {
        Some((_, number)) => Some(*number),
        None => {
            let sequence = sequence_of(table);
            sequence
                .map(|sequence| settled_number(connection, sequence))
                .transpose()?
        }
    };
    Ok(SequenceBounds { until, ..bounds })
}

/// Returns up to which number each table is whole; nothing on a server that can't know.
pub(crate) fn settled_numbers(
    connection: &mut Connection,
) -> Result<Vec<(&'static str, i64)>, StateStoreError> {
    let mut settled = Vec::new();
    for (table, sequence) in NUMBERED {
        match settled_number(connection, sequence) {
            Ok(number) => settled.push((table, number)),
            Err(StateStoreError::Unsupported { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(settled)
}

/// How many low bits of a number its lock holds.
const LOCKED_BITS: i64 = 0x7FFF_FFFF;

/// Returns up to which number every row of a sequence is committed, or never will be.
///
/// Whoever draws numbers has said before, by a shared lock, which number was the last (`draw_number`, migration 0001). So this
/// first asks for the last number, and then for the locks: who has none of them draws above it.
///
/// # Errors
/// `Unsupported` on a standby, which doesn't have the locks of the server that it follows.
fn settled_number(connection: &mut Connection, sequence: &str) -> Result<i64, StateStoreError> {
    let last = pg_sequence_last_value(to_regclass(sequence));
    let (last, is_standby): (Option<i64>, bool) =
        select((last, pg_is_in_recovery())).get_result(connection)?;
    if is_standby {
        return Err(StateStoreError::Unsupported {
            reason: "a standby can't tell which rows are still to come: read newest first there, or follow on the primary"
                .into(),
        });
    }
    let last = last.unwrap_or(0);
    let here = pg_database::table
        .filter(pg_database::datname.eq(current_database()))
        .select(pg_database::oid.nullable())
        .single_value();
    let locks = pg_locks::table
        .filter(pg_locks::locktype.eq("advisory"))
        .filter(pg_locks::objsubid.eq(2))
        .filter(pg_locks::database.eq(here))
        .filter(pg_locks::classid.eq(to_regclass(sequence)))
        .filter(pg_locks::granted)
        // A prepared transaction has no process.
        .filter(pg_locks::pid.is_distinct_from(pg_backend_pid().nullable()))
        .select(pg_locks::objid);
    let locks: Vec<Option<u32>> = locks.load(connection)?;
    let locked = locks
        .into_iter()
        .flatten()
        .map(|low| whole_number(last, low));
    Ok(locked.fold(last, i64::min))
}

/// Returns the number that a lock was named by: the highest with these low bits that isn't above the last one.
fn whole_number(last: i64, low: u32) -> i64 {
    let number = (last & !LOCKED_BITS) | i64::from(low);
    if number > last {
        number - LOCKED_BITS - 1
    } else {
        number
    }
}

/// A query whose rows nobody else may change before the transaction ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locked<Q>(pub(super) Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Locked<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(pass.reborrow())?;
        pass.push_sql(" FOR UPDATE");
        Ok(())
    }
}

impl<Q: QueryId> QueryId for Locked<Q> {
    type QueryId = Locked<Q::QueryId>;

    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Locked<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Locked<Q> {}

// The planner knows how many rows a column picks, and needs no hint.
diesel::prefix_operator!(UnindexedNumber, "", BigInt, backend: Pg);

#[cfg(test)]
mod tests {
    use super::whole_number;

    #[test]
    fn a_lock_names_the_number_below_the_last_also_where_its_bits_have_begun_again() {
        let begin = 1 << 31;
        assert_eq!(whole_number(7, 5), 5);
        assert_eq!(whole_number(7, 7), 7);
        assert_eq!(whole_number(begin + 3, 1), begin + 1);
        assert_eq!(whole_number(begin + 3, 0x7FFF_FFFE), begin - 2);
    }
}
