//! Full-text search: the virtual table, and what a person types as an FTS5 expression.

use diesel::connection::Connection as _;
use diesel::dsl::{max, min};
use diesel::prelude::*;
use diesel::result::Error as DieselError;

use super::dialect::{Connection, coalesce};
use super::prepared::prepared;
use crate::error::{DatabaseFailure, StateStoreError};
use crate::namespace::Namespace;
use crate::schema::events;
use crate::search_text::{is_word_character, searchable};

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

/// Indexes every event above the last indexed one: once a commit, in the commit's own transaction.
pub(crate) fn index_new_events(connection: &mut Connection) -> Result<(), StateStoreError> {
    use events_search_source as source;
    let last = events_search_docsize::table
        .select(max(events_search_docsize::id))
        .single_value();
    let index = source::table
        .filter(source::seq.gt(coalesce(last, 0)))
        .select((source::seq, source::namespace_word, source::content))
        .insert_into(events_search::table)
        .into_columns((
            events_search::rowid,
            events_search::namespace_word,
            events_search::content,
        ));
    prepared!(index)
        .write(connection)
        .and_then(|()| write_out(connection))
        .map_err(|error| of_index(connection, error))
}

/// Makes FTS5 write what it holds in memory, as it does at each savepoint: otherwise it does so in the commit, where a
/// damaged index would fail everybody.
#[allow(clippy::disallowed_methods)] // Inside an open transaction it is a savepoint.
fn write_out(connection: &mut Connection) -> QueryResult<()> {
    connection.transaction(|_| Ok(()))
}

/// Returns the number of the last event, of any namespace; 0 where there is none.
pub(super) fn last_event(connection: &mut Connection) -> QueryResult<i64> {
    let last: Option<i64> = events::table
        .select(max(events::seq))
        .get_result(connection)?;
    Ok(last.unwrap_or(0))
}

/// Returns whether there are events above a number; where that can't be known, there are.
pub(crate) fn has_events_above(connection: &mut Connection, seq: Option<i64>) -> bool {
    match (last_event(connection), seq) {
        (Ok(last), Some(seq)) => last > seq,
        _ => true,
    }
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

/// How much of a word is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Whole,
    /// Each may go on.
    Beginnings,
}

/// Returns the FTS5 expression for what a person typed, or `None` where it holds no word. Without a namespace it finds
/// every namespace's rows.
///
/// Each term is a quoted string, so that nothing in it is syntax (<https://www.sqlite.org/fts5.html>, section 3.1).
/// FTS5 drops a string in which its tokenizer finds no word, and all that remain must match.
pub(super) fn expression(
    namespace: Option<&Namespace>,
    text: &str,
    words: Words,
) -> Option<String> {
    // FTS5 reads the expression as a C string: NUL would cut it short.
    let terms: Vec<String> = text
        .split(|character: char| character.is_whitespace() || character == '\0')
        .map(|term| searchable(term).unwrap_or_else(|| term.to_owned()))
        .filter(|term| term.chars().any(is_word_character))
        .map(|term| {
            let term = term.replace('"', "\"\"");
            match words {
                Words::Whole => format!("\"{term}\""),
                Words::Beginnings => format!("\"{term}\" *"),
            }
        })
        .collect();
    if terms.is_empty() {
        return None;
    }
    let content = format!("content : ({})", terms.join(" "));
    Some(match namespace {
        Some(namespace) => format!(
            "namespace_word : \"{}\" AND {content}",
            namespace_word(namespace)
        ),
        None => content,
    })
}

/// Returns it as the view `events_search_source` makes it: one token of any prefix.
fn namespace_word(namespace: &Namespace) -> String {
    use std::fmt::Write;
    namespace
        .as_str()
        .bytes()
        .fold(String::from("n"), |mut word, byte| {
            // Writing to a String can't fail.
            let _ = write!(word, "{byte:02X}");
            word
        })
}

#[cfg(test)]
mod tests {
    use super::{Words, expression};
    use crate::namespace::Namespace;

    fn of(prefix: &str, text: &str) -> Option<String> {
        expression(Some(&Namespace::new(prefix).unwrap()), text, Words::Whole)
    }

    #[test]
    fn what_a_person_types_becomes_quoted_terms() {
        assert_eq!(
            of("", "it's  C++ AND \"x").as_deref(),
            Some(r#"namespace_word : "n" AND content : ("it's" "C++" "AND" """x")"#)
        );
        assert_eq!(
            of("ab", "cd").as_deref(),
            Some(r#"namespace_word : "n6162" AND content : ("cd")"#)
        );
        assert_eq!(
            expression(None, "cd 项目", Words::Beginnings).as_deref(),
            Some(r#"content : ("cd" * "项 目" *)"#)
        );
    }

    #[test]
    fn text_without_a_word_is_no_expression() {
        for text in ["", "  ", "* - +", "\"\"", "\0"] {
            assert_eq!(of("", text), None);
        }
    }
}
