//! The full-text index: its tables, which events it holds, and what is wrong with it.

use diesel::connection::Connection as _;
use diesel::dsl::{max, min};
use diesel::prelude::*;
use diesel::result::Error as DieselError;

use super::dialect::{Connection, Length, byte_length, coalesce};
use super::limited::limited;
use super::prepared::prepared;
use super::writes::inserted_if_any;
use crate::error::{DatabaseFailure, StateStoreError};
use crate::models::{CopiedEvent, NewEvent};
use crate::namespace::Namespace;
use crate::page::fetch;
use crate::schema::events;

// `print-schema` leaves virtual tables and views out (diesel.toml); these are migration 0008's.
diesel::table! {
    events_search (rowid) {
        rowid -> BigInt,
        namespace_word -> Text,
        content -> Text,
        /// FTS5's hidden column of the table's own name: the left side of MATCH.
        #[sql_name = "events_search"]
        whole_row -> Text,
    }
}

diesel::table! {
    events_search_source (seq) {
        seq -> BigInt,
        namespace_word -> Text,
        content -> Text,
    }
}

diesel::table! {
    events_search_docsize (id) {
        id -> BigInt,
    }
}

diesel::table! {
    events_search_config (k) {
        k -> Text,
    }
}

diesel::table! {
    sqlite_schema (name) {
        name -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(events, events_search);
diesel::allow_tables_to_appear_in_same_query!(events_search_source, events_search_docsize);
diesel::allow_tables_to_appear_in_same_query!(events_search_source, events_search);

/// Events that wait to be indexed, by number, with about how many bytes each has.
type Waiting = Vec<(i64, Option<Length>)>;

/// The most that is indexed in one statement: what bounds its memory.
const BLOCK_EVENTS: usize = 16 * 1024;
const BLOCK_BYTES: i64 = 64 << 20;

/// Indexes a block of the oldest events that wait; returns whether more do.
pub(crate) fn index_block(connection: &mut Connection) -> Result<bool, StateStoreError> {
    let waiting = waiting(connection)?;
    let mut bytes = 0;
    let fits = waiting.iter().take(BLOCK_EVENTS).take_while(|(_, size)| {
        let is_first = bytes == 0;
        bytes += size.unwrap_or(0).max(1);
        is_first || bytes <= BLOCK_BYTES
    });
    let Some((last, _)) = fits.last() else {
        return Ok(false);
    };
    index_up_to(connection, *last).map_err(|error| of_index(connection, error))?;
    Ok(waiting.last().is_some_and(|(newest, _)| newest > last))
}

/// Returns the oldest events that wait, one more than a block holds.
fn waiting(connection: &mut Connection) -> Result<Waiting, StateStoreError> {
    let indexed = last_indexed(connection)?;
    let waiting = events::table
        .filter(events::seq.gt(indexed))
        .order(events::seq)
        .select((events::seq, byte_length(events::content.nullable())));
    let waiting = limited(waiting, fetch(BLOCK_EVENTS));
    Ok(prepared!(waiting).load(connection)?)
}

/// Indexes every event that waits, up to a number.
fn index_up_to(connection: &mut Connection, last: i64) -> QueryResult<()> {
    use events_search_source as source;
    let indexed = events_search_docsize::table
        .select(max(events_search_docsize::id))
        .single_value();
    let index = source::table
        .filter(source::seq.gt(coalesce(indexed, 0)))
        .filter(source::seq.le(last))
        .select((source::seq, source::namespace_word, source::content))
        .insert_into(events_search::table)
        .into_columns((
            events_search::rowid,
            events_search::namespace_word,
            events_search::content,
        ));
    prepared!(index).write(connection)?;
    write_out(connection)
}

/// Makes FTS5 write what it holds in memory, as it does at each savepoint: otherwise it does so in the commit, whose outcome
/// would be unknown where the index is damaged.
#[allow(clippy::disallowed_methods)] // Inside an open transaction it is a savepoint.
fn write_out(connection: &mut Connection) -> QueryResult<()> {
    connection.transaction(|_| Ok(()))
}

/// Inserts an event, unless its id is taken; returns its number.
pub(super) fn insert_event(
    connection: &mut Connection,
    row: &NewEvent<'_>,
) -> Result<Option<i64>, StateStoreError> {
    let insert = diesel::insert_into(events::table)
        .values(row)
        .on_conflict((events::namespace, events::id))
        .do_nothing();
    Ok(inserted_if_any!(connection, events, insert))
}

/// How many events are inserted before what became of them is looked at: a conflict ends the work at its event.
pub(super) const ROWS_AT_ONCE: usize = 1;

/// Inserts events whose ids aren't taken; returns the number of each.
pub(super) fn insert_events(
    connection: &mut Connection,
    rows: &[NewEvent<'_>],
) -> Result<Vec<Option<i64>>, StateStoreError> {
    let inserted = rows.iter().map(|row| insert_event(connection, row));
    inserted.collect()
}

/// Inserts events with their numbers. Those below the last that is indexed are indexed at once: a block takes only what is above.
pub(super) fn insert_copied(
    connection: &mut Connection,
    rows: &[CopiedEvent],
) -> Result<(), StateStoreError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    let indexed = last_indexed(connection)?;
    diesel::insert_into(events::table)
        .values(rows)
        .execute(connection)?;
    if first.seq > indexed {
        return Ok(());
    }
    let is_indexed = events_search_docsize::table
        .filter(events_search_docsize::id.eq(events_search_source::seq));
    let lacking = events_search_source::table
        .filter(events_search_source::seq.between(first.seq, last.seq.min(indexed)))
        .filter(diesel::dsl::not(diesel::dsl::exists(is_indexed)))
        .select((
            events_search_source::seq,
            events_search_source::namespace_word,
            events_search_source::content,
        ));
    let index = diesel::insert_into(events_search::table)
        .values(lacking)
        .into_columns((
            events_search::rowid,
            events_search::namespace_word,
            events_search::content,
        ));
    let indexed = index.execute(connection);
    let indexed = indexed.and_then(|_| write_out(connection));
    indexed.map_err(|error| of_index(connection, error))
}

/// Returns the number up to which events are indexed: all of them, and none above it. 0 where none is.
pub(super) fn last_indexed(connection: &mut Connection) -> Result<i64, StateStoreError> {
    let last = events_search_docsize::table.select(max(events_search_docsize::id));
    let last: QueryResult<Option<i64>> = prepared!(last).get_result(connection);
    let last = last.map_err(|error| of_index(connection, error))?;
    Ok(last.unwrap_or(0).max(0))
}

/// Returns the number of the oldest event in the index.
pub(super) fn first_indexed(connection: &mut Connection) -> Result<Option<i64>, StateStoreError> {
    let first = events_search_docsize::table.select(min(events_search_docsize::id));
    let first = prepared!(first).get_result(connection);
    first.map_err(|error| of_index(connection, error))
}

/// Returns the number of the last event, of any namespace; 0 where there is none.
pub(super) fn newest_event(connection: &mut Connection) -> QueryResult<i64> {
    let newest: Option<i64> = events::table
        .select(max(events::seq))
        .get_result(connection)?;
    Ok(newest.unwrap_or(0))
}

/// Returns how many events there may be above a number; where that can't be known, one.
pub(crate) fn events_above(connection: &mut Connection, seq: Option<i64>) -> usize {
    match (newest_event(connection), seq) {
        (Ok(newest), Some(seq)) => usize::try_from(newest.saturating_sub(seq)).unwrap_or(0),
        _ => 1,
    }
}

/// Returns the number of the namespace's last event.
pub(super) fn last_event(
    connection: &mut Connection,
    namespace: &Namespace,
) -> QueryResult<Option<i64>> {
    let last = events::table
        .filter(events::namespace.eq(namespace.as_str()))
        .select(max(events::seq));
    prepared!(last).get_result(connection)
}

/// Tells a fault of the index from one of the database, in an error of a statement that uses the index.
pub(super) fn of_index(connection: &mut Connection, error: DieselError) -> StateStoreError {
    match StateStoreError::from(error) {
        StateStoreError::DatabaseError(error)
            if match error.kind() {
                DatabaseFailure::Damaged | DatabaseFailure::Constraint | DatabaseFailure::Other => {
                    true
                }
                // It could not be opened: for a fault of the disk, or because parts of it are gone.
                DatabaseFailure::Io => !matches!(has_all_parts(connection), Ok(true)),
                _ => false,
            } =>
        {
            StateStoreError::SearchIndexDamaged {
                cause: error.into_inner(),
            }
        }
        other => other,
    }
}

/// Returns whether the index has all tables that FTS5 keeps (<https://www.sqlite.org/fts5.html>, section 9).
fn has_all_parts(connection: &mut Connection) -> QueryResult<bool> {
    const PARTS: [&str; 5] = [
        "events_search",
        "events_search_config",
        "events_search_data",
        "events_search_docsize",
        "events_search_idx",
    ];
    let parts: i64 = sqlite_schema::table
        .filter(sqlite_schema::name.eq_any(PARTS))
        .count()
        .get_result(connection)?;
    let versions: i64 = events_search_config::table
        .filter(events_search_config::k.eq("version"))
        .count()
        .get_result(connection)?;
    Ok(parts == PARTS.len() as i64 && versions == 1)
}

/// Returns whether rows of other namespaces are in the index too.
///
/// Only then the namespace's word is asked for: FTS5 walks through all of its rows to find where they meet the other
/// words', which made a search for a rare word among 100,000 events nearly four times as slow (`docs/performance.md`). What
/// is found is checked against the namespace in any case.
pub(super) fn is_shared(
    connection: &mut Connection,
    namespace: &Namespace,
) -> Result<bool, StateStoreError> {
    // Two statements: each is one step in an index, one for both reads the whole of it.
    let first: Option<String> = events::table
        .select(min(events::namespace))
        .get_result(connection)?;
    let last: Option<String> = events::table
        .select(max(events::namespace))
        .get_result(connection)?;
    let only = Some(namespace.as_str());
    Ok(first.as_deref() != only || last.as_deref() != only)
}
