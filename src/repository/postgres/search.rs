//! Events with their words, as they are inserted.

use std::collections::HashMap;

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Nullable, Text};

use super::context::TableContext;
use super::dialect::Connection;
use super::limited::limited;
use super::prepared::prepared;
use super::words::prepare_words;
use crate::error::StateStoreError;
use crate::models::{CopiedEvent, NewEvent};
use crate::schema::postgres::events as stored;
use crate::schema::postgres::sql_types::Tsvector;

/// Appends events that aren't there, in their order. A separator that is in no word parts the words of each.
const APPEND_EVENTS: &str = "\
INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, git_commit,
    created_at, recorded_at, search_text, search_words)
SELECT namespace, id, event_type, at, session_id, actor_type, actor_id, content, metadata, git_commit, created_at,
    recorded_at, search_text, array_to_tsvector(string_to_array(words, E'\\x1f'))
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::text[]) WITH ORDINALITY
    AS new (namespace, id, event_type, at, session_id, actor_type, actor_id, content, metadata, git_commit, created_at,
        recorded_at, search_text, words, place)
ORDER BY place
ON CONFLICT (namespace, id) DO NOTHING
RETURNING namespace, id, seq";

const SEPARATOR: &str = "\x1f";

#[derive(Debug, QueryableByName)]
struct AppendedEvent {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

define_sql_function! {
    /// A vector of words without their places.
    fn array_to_tsvector(words: Nullable<Array<Text>>) -> Nullable<Tsvector>;
}

/// The columns of an event but for its number, whether it is new or comes from another store.
macro_rules! columns {
    ($row:expr, $words:expr) => {
        (
            stored::namespace.eq(&$row.namespace),
            stored::id.eq(&$row.id),
            stored::event_type.eq(&$row.event_type),
            stored::timestamp.eq($row.timestamp),
            stored::session_id.eq(&$row.session_id),
            stored::actor_type.eq(&$row.actor_type),
            stored::actor_id.eq(&$row.actor_id),
            stored::content.eq(&*$row.content),
            stored::metadata.eq($row.metadata.as_deref()),
            stored::git_commit.eq($row.git_commit.as_deref()),
            stored::created_at.eq($row.created_at),
            stored::recorded_at.eq($row.recorded_at),
            stored::search_text.eq($row.search_text.as_deref()),
            stored::search_words.eq(array_to_tsvector($words)),
        )
    };
}

/// Inserts an event, unless its id is taken; returns its number.
pub(super) fn insert_event(
    connection: &mut Connection,
    row: &NewEvent<'_>,
) -> Result<Option<i64>, StateStoreError> {
    let text = row.search_text.as_deref().unwrap_or(&row.content);
    let words = prepare_words(&row.namespace, text)?;
    let insert = diesel::insert_into(stored::table)
        .values(columns!(row, words))
        .on_conflict((stored::namespace, stored::id))
        .do_nothing()
        .returning(stored::seq);
    Ok(prepared!(insert).get_result(connection).optional()?)
}

/// How many events one statement inserts.
pub(super) const ROWS_AT_ONCE: usize = 512;

/// Inserts events whose ids aren't taken; returns the number of each.
pub(super) fn insert_events(
    connection: &mut Connection,
    rows: &[NewEvent<'_>],
) -> Result<Vec<Option<i64>>, StateStoreError> {
    match rows {
        [row] => Ok(vec![insert_event(connection, row)?]),
        rows => append_events(connection, &rows.iter().collect::<Vec<_>>()),
    }
}

/// Appends events in their order; returns the number of each, `None` for one that was there already.
pub(super) fn append_events(
    connection: &mut Connection,
    events: &[&NewEvent<'_>],
) -> Result<Vec<Option<i64>>, StateStoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let texts = |text: fn(&NewEvent<'_>) -> String| -> Vec<String> {
        events.iter().map(|event| text(event)).collect()
    };
    let numbers = |number: fn(&NewEvent<'_>) -> i64| -> Vec<i64> {
        events.iter().map(|event| number(event)).collect()
    };
    macro_rules! column {
        (|$event:ident| $value:expr) => {
            events.iter().map(|$event| $value).collect::<Vec<_>>()
        };
    }
    let words = events
        .iter()
        .map(|event| {
            let text = event.search_text.as_deref().unwrap_or(&event.content);
            let words = prepare_words(&event.namespace, text)?;
            Ok(words.map(|words| words.join(SEPARATOR)))
        })
        .collect::<Result<Vec<Option<String>>, StateStoreError>>()?;
    let append = diesel::sql_query(APPEND_EVENTS)
        .bind::<Array<Text>, _>(column!(|event| &*event.namespace))
        .bind::<Array<Text>, _>(column!(|event| &*event.id))
        .bind::<Array<Text>, _>(column!(|event| &*event.event_type))
        .bind::<Array<BigInt>, _>(numbers(|event| event.timestamp))
        .bind::<Array<Text>, _>(column!(|event| &*event.session_id))
        .bind::<Array<Text>, _>(texts(|event| event.actor_type.to_string()))
        .bind::<Array<Text>, _>(column!(|event| &*event.actor_id))
        .bind::<Array<Text>, _>(column!(|event| &*event.content))
        .bind::<Array<Nullable<Text>>, _>(column!(|event| event.metadata.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(column!(|event| event.git_commit.as_deref()))
        .bind::<Array<BigInt>, _>(numbers(|event| event.created_at))
        .bind::<Array<BigInt>, _>(numbers(|event| event.recorded_at))
        .bind::<Array<Nullable<Text>>, _>(column!(|event| event.search_text.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(words);
    let appended: Vec<AppendedEvent> = prepared!(append).load(connection)?;
    let mut seqs: HashMap<(String, String), i64> = appended
        .into_iter()
        .map(|event| ((event.namespace, event.id), event.seq))
        .collect();
    Ok(events
        .iter()
        // The first of those with one id is the one that was appended.
        .map(|event| seqs.remove(&(event.namespace.clone(), event.id.clone())))
        .collect())
}

/// Inserts events with their numbers.
pub(super) fn insert_copied(
    connection: &mut Connection,
    rows: &[CopiedEvent],
) -> Result<(), StateStoreError> {
    let rows = rows
        .iter()
        .map(|row| {
            let text = row.search_text.as_ref().unwrap_or(&row.content);
            let words = prepare_words(&row.namespace, text)?;
            Ok((stored::seq.eq(row.seq), columns!(row, words)))
        })
        .collect::<Result<Vec<_>, StateStoreError>>()?;
    diesel::insert_into(stored::table)
        .values(rows)
        .execute(connection)?;
    Ok(())
}

/// How many events' words are prepared at once.
const BATCH_ROWS: i64 = 256;

/// Prepares the words of every event of the database again.
pub(crate) fn prepare_words_again(context: TableContext<'_>) -> Result<(), StateStoreError> {
    let connection = context.connection;
    let mut done = i64::MIN;
    loop {
        let rows = stored::table
            .filter(stored::seq.gt(done))
            .order(stored::seq)
            .select((
                stored::seq,
                stored::namespace,
                stored::search_text,
                stored::content,
            ));
        let rows: Vec<(i64, String, Option<String>, String)> =
            limited(rows, BATCH_ROWS).load(connection)?;
        let Some((last, ..)) = rows.last() else {
            return Ok(());
        };
        done = *last;
        for (seq, namespace, search_text, content) in rows {
            let words = prepare_words(&namespace, &search_text.unwrap_or(content))?;
            diesel::update(stored::table.filter(stored::seq.eq(seq)))
                .set(stored::search_words.eq(array_to_tsvector(words)))
                .execute(connection)?;
        }
    }
}

/// Tells a fault of the index from one of the database: here there is none.
pub(super) fn of_index(_: &mut Connection, error: DieselError) -> StateStoreError {
    error.into()
}
