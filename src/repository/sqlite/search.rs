//! Full-text search: the virtual table, and what a person types as an FTS5 expression.

use diesel::dsl::{max, min};
use diesel::prelude::*;

use super::dialect::{Connection, coalesce};
use super::prepared::prepared;
use crate::error::StateStoreError;
use crate::namespace::Namespace;
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
    prepared!(index).write(connection)?;
    Ok(())
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

/// Returns the FTS5 expression for what a person typed, or `None` where it holds no word. Without a namespace it finds
/// every namespace's rows.
///
/// Each term is a quoted string, so that nothing in it is syntax (<https://www.sqlite.org/fts5.html>, section 3.1).
/// FTS5 drops a string in which its tokenizer finds no word, and all that remain must match.
pub(super) fn expression(namespace: Option<&Namespace>, text: &str) -> Option<String> {
    // FTS5 reads the expression as a C string: NUL would cut it short.
    let terms: Vec<String> = text
        .split(|character: char| character.is_whitespace() || character == '\0')
        .filter(|term| term.chars().any(char::is_alphanumeric))
        .map(|term| format!("\"{}\"", term.replace('"', "\"\"")))
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
    use super::expression;
    use crate::namespace::Namespace;

    fn of(prefix: &str, text: &str) -> Option<String> {
        expression(Some(&Namespace::new(prefix).unwrap()), text)
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
            expression(None, "cd").as_deref(),
            Some(r#"content : ("cd")"#)
        );
    }

    #[test]
    fn text_without_a_word_is_no_expression() {
        for text in ["", "  ", "* - +", "\"\"", "\0"] {
            assert_eq!(of("", text), None);
        }
    }
}
