//! What only SQLite says.

use diesel::define_sql_function;
use diesel::expression::{AsExpression, Expression};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;

use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::page::SequenceBounds;

/// The backend that the bodies are compiled for.
pub(super) type Db = Sqlite;

/// Whether others may write while a transaction is open: SQLite has one writer at a time.
pub(super) const OTHERS_WRITE: bool = false;

/// A connection to it.
pub(crate) type Connection = SqliteConnection;

/// Returns the bounds of a page that passes over no row: numbers are drawn and committed in one order.
#[allow(clippy::unnecessary_wraps)] // Others have to ask the database.
pub(super) fn settled(
    _: &mut Connection,
    _: &CommitNotes,
    _: &'static str,
    bounds: SequenceBounds,
) -> Result<SequenceBounds, StateStoreError> {
    Ok(bounds)
}

define_sql_function! {
    /// The first argument, or the second where the first is NULL.
    fn coalesce(value: Nullable<BigInt>, otherwise: BigInt) -> BigInt;
}

define_sql_function! {
    /// The first text, or the second where the first is NULL.
    #[sql_name = "coalesce"]
    fn first_text(text: Nullable<Text>, otherwise: Text) -> Text;
}

define_sql_function! {
    /// How many bytes a value has, whatever it is; SQLite doesn't read it for that.
    #[sql_name = "octet_length"]
    fn byte_length(value: Nullable<Text>) -> Nullable<BigInt>;
}

/// What [`byte_length`] returns.
pub(super) type Length = i64;

diesel::table! {
    /// The last numbers of tables with AUTOINCREMENT (<https://www.sqlite.org/autoinc.html>).
    sqlite_sequence (name) {
        name -> Text,
        seq -> BigInt,
    }
}

/// Returns the number that a table has given last; 0 for one that has given none.
pub(super) fn last_number(
    connection: &mut Connection,
    table: &'static str,
) -> Result<i64, StateStoreError> {
    let last = sqlite_sequence::table
        .filter(sqlite_sequence::name.eq(table))
        .select(sqlite_sequence::seq);
    Ok(last.get_result(connection).optional()?.unwrap_or(0))
}

/// Makes a table give only numbers above this one.
pub(super) fn raise_number(
    connection: &mut Connection,
    table: &'static str,
    number: i64,
) -> Result<(), StateStoreError> {
    let last = sqlite_sequence::table.filter(sqlite_sequence::name.eq(table));
    let raise = diesel::update(last).set(sqlite_sequence::seq.eq(number));
    if raise.execute(connection)? == 0 {
        // It has had no row.
        diesel::insert_into(sqlite_sequence::table)
            .values((
                sqlite_sequence::name.eq(table),
                sqlite_sequence::seq.eq(number),
            ))
            .execute(connection)?;
    }
    Ok(())
}

define_sql_function! {
    /// How many rows the connection's last INSERT, UPDATE or DELETE changed.
    fn changes() -> BigInt;
}

define_sql_function! {
    /// The rowid of the connection's last insert. Asked for instead of RETURNING: that makes SQLite copy every page it is
    /// going to change into a statement journal, which in a large transaction is a file (`docs/performance.md`).
    fn last_insert_rowid() -> BigInt;
}

/// A query whose rows nobody else may change before the transaction ends: its write lock sees to that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locked<Q>(pub(super) Q);

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Locked<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(pass)
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

// `+column` has the column's value, but no index serves it (<https://www.sqlite.org/optoverview.html>, section 2).
diesel::prefix_operator!(UnindexedText, "+", Text, backend: Sqlite);
diesel::prefix_operator!(UnindexedNumber, "+", BigInt, backend: Sqlite);

diesel::infix_operator!(Matches, " MATCH ", backend: Sqlite);

/// FTS5's `column MATCH expression`.
pub(super) trait Matching: Expression<SqlType = Text> + Sized {
    fn matches<E: AsExpression<Text>>(self, expression: E) -> Matches<Self, E::Expression> {
        Matches::new(self, expression.as_expression())
    }
}

impl<T: Expression<SqlType = Text>> Matching for T {}

/// Makes an index of `recent_events`, with the tokenizer of `events_search`. It keeps no text.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecentIndex;

/// How text becomes words: as migration 0008 has it.
const TOKENIZER: &str = "unicode61 remove_diacritics 2 categories ''L* N* Co So''";

impl QueryFragment<Sqlite> for RecentIndex {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.unsafe_to_cache_prepared();
        pass.push_sql("CREATE VIRTUAL TABLE recent_events USING fts5(content, content = '', columnsize = 0, tokenize = '");
        pass.push_sql(TOKENIZER);
        pass.push_sql("')");
        Ok(())
    }
}

impl QueryId for RecentIndex {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> RunQueryDsl<C> for RecentIndex {}

/// Makes a list of the words of `recent_events`.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, Copy)]
pub(super) enum RecentWords {
    InOrder,
    Once,
}

#[cfg(feature = "postgres")]
impl QueryFragment<Sqlite> for RecentWords {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.unsafe_to_cache_prepared();
        pass.push_sql(match self {
            Self::InOrder => {
                "CREATE VIRTUAL TABLE recent_words USING fts5vocab(recent_events, instance)"
            }
            Self::Once => "CREATE VIRTUAL TABLE recent_terms USING fts5vocab(recent_events, row)",
        });
        Ok(())
    }
}

#[cfg(feature = "postgres")]
impl QueryId for RecentWords {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

#[cfg(feature = "postgres")]
impl<C> RunQueryDsl<C> for RecentWords {}

#[cfg(test)]
mod tests {
    use super::TOKENIZER;

    #[test]
    fn recent_events_are_read_as_the_index_reads_them() {
        let migration = include_str!("../../../migrations/0008_add_event_search/up.sql");
        assert!(migration.contains(&format!("tokenize = '{TOKENIZER}'")));
    }
}
