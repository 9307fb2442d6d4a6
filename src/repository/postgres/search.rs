//! The words of events, as the store prepares them for the search.
//!
//! They are those of SQLite's full-text index: its tokenizer cuts the text, in memory. They are kept as a vector without places.

use std::fmt::Write;

use diesel::define_sql_function;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, Nullable, Text};

use super::context::TableContext;
use super::dialect::Connection;
use super::limited::limited;
use super::prepared::prepared;
use crate::error::StateStoreError;
use crate::models::{CopiedEvent, NewEvent};
use crate::repository::sqlite::recent::terms_of;
use crate::schema::postgres::events as stored;
use crate::schema::postgres::sql_types::Tsvector;

define_sql_function! {
    /// A vector of words without their places.
    fn array_to_tsvector(words: Nullable<Array<Text>>) -> Nullable<Tsvector>;
}

/// The most bytes of a word that a vector keeps; of a longer one it keeps the beginning. PostgreSQL allows 2,046
/// (<https://www.postgresql.org/docs/current/textsearch-limitations.html>).
pub(super) const WORD_BYTES: usize = 255;
/// The most bytes of a vector's words; PostgreSQL allows 1 MiB with what it keeps of each.
const VECTOR_BYTES: usize = 512 * 1024;

/// Returns the words of a text as they are stored, or `None` where they are too many.
fn prepare_words(namespace: &str, text: &str) -> Result<Option<Vec<String>>, StateStoreError> {
    let mut words = terms_of(text)?;
    words.iter_mut().for_each(shorten);
    words.push(namespace_word(namespace));
    words.sort_unstable();
    words.dedup();
    let bytes: usize = words.iter().map(|word| word.len() + 8).sum();
    Ok((bytes <= VECTOR_BYTES).then_some(words))
}

/// The namespace as a word that no text has: the tokenizer cuts at the colon.
pub(super) fn namespace_word(namespace: &str) -> String {
    let mut word = String::from("in:");
    for byte in namespace.bytes() {
        // Writing to a String can't fail.
        let _ = write!(word, "{byte:02x}");
    }
    shorten(&mut word);
    word
}

pub(super) fn shorten(word: &mut String) {
    if word.len() > WORD_BYTES {
        let end = (0..=WORD_BYTES)
            .rev()
            .find(|end| word.is_char_boundary(*end));
        word.truncate(end.unwrap_or(0));
    }
}

/// Inserts an event, unless its id is taken; returns its number.
pub(super) fn insert_event(
    connection: &mut Connection,
    row: &NewEvent<'_>,
) -> Result<Option<i64>, StateStoreError> {
    let text = row.search_text.as_deref().unwrap_or(&row.content);
    let words = prepare_words(&row.namespace, text)?;
    let insert = diesel::insert_into(stored::table)
        .values((
            stored::namespace.eq(&row.namespace),
            stored::id.eq(&row.id),
            stored::event_type.eq(&row.event_type),
            stored::timestamp.eq(row.timestamp),
            stored::session_id.eq(&row.session_id),
            stored::actor_type.eq(row.actor_type),
            stored::actor_id.eq(&row.actor_id),
            stored::content.eq(row.content.as_ref()),
            stored::metadata.eq(row.metadata.as_deref()),
            stored::git_commit.eq(&row.git_commit),
            stored::created_at.eq(row.created_at),
            stored::recorded_at.eq(row.recorded_at),
            stored::search_text.eq(&row.search_text),
            stored::search_words.eq(array_to_tsvector(words)),
        ))
        .on_conflict((stored::namespace, stored::id))
        .do_nothing()
        .returning(stored::seq);
    Ok(prepared!(insert).get_result(connection).optional()?)
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
            Ok((
                stored::seq.eq(row.seq),
                stored::namespace.eq(&row.namespace),
                stored::id.eq(&row.id),
                stored::event_type.eq(&row.event_type),
                stored::timestamp.eq(row.timestamp),
                stored::session_id.eq(&row.session_id),
                stored::actor_type.eq(&row.actor_type),
                stored::actor_id.eq(&row.actor_id),
                stored::content.eq(&row.content),
                stored::metadata.eq(row.metadata.as_ref()),
                stored::git_commit.eq(row.git_commit.as_ref()),
                stored::created_at.eq(row.created_at),
                stored::recorded_at.eq(row.recorded_at),
                stored::search_text.eq(row.search_text.as_ref()),
                stored::search_words.eq(array_to_tsvector(words)),
            ))
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
