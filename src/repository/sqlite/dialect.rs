//! What only SQLite says.

use diesel::define_sql_function;
use diesel::expression::{AsExpression, Expression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;

/// The backend that the bodies are compiled for.
pub(super) type Db = Sqlite;

/// A connection to it.
pub(crate) type Connection = SqliteConnection;

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
    /// How many bytes a text has; SQLite doesn't read it for that.
    fn octet_length(text: Text) -> BigInt;
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

// `+column` has the column's value, but no index serves it (<https://www.sqlite.org/optoverview.html>, section 2).
diesel::prefix_operator!(UnindexedText, "+", Text, backend: Sqlite);
diesel::prefix_operator!(UnindexedNumber, "+", BigInt, backend: Sqlite);

// `column IN (query)`, for a query of another type than Diesel's own.
diesel::infix_operator!(IsAmong, " IN ", backend: Sqlite);

/// A query with `LIMIT (0 + ?)`.
///
/// SQLite looks at a bare `LIMIT ?` while it plans, and so prepares the statement again whenever the number is bound, also
/// to the same value (`docs/performance.md`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Limited<Q> {
    query: Q,
    rows: i64,
}

pub(super) fn limited<Q>(query: Q, rows: i64) -> Limited<Q> {
    Limited { query, rows }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Limited<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.query.walk_ast(pass.reborrow())?;
        pass.push_sql(" LIMIT (0 + ");
        pass.push_bind_param::<BigInt, i64>(&self.rows)?;
        pass.push_sql(")");
        Ok(())
    }
}

impl<Q> QueryId for Limited<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Limited<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Limited<Q> {}

/// The numbers that a limited query picks, as the right side of [`IsAmong`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Picked<Q>(pub(super) Limited<Q>);

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Picked<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        pass.push_sql("(");
        self.0.walk_ast(pass.reborrow())?;
        pass.push_sql(")");
        Ok(())
    }
}

impl<Q> QueryId for Picked<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Expression for Picked<Q> {
    type SqlType = BigInt;
}

impl<Q, Source> AppearsOnTable<Source> for Picked<Q> {}
impl<Q, Source> SelectableExpression<Source> for Picked<Q> {}
impl<Q, Grouping> ValidGrouping<Grouping> for Picked<Q> {
    type IsAggregate = is_aggregate::Never;
}

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

#[cfg(test)]
mod tests {
    use super::TOKENIZER;

    #[test]
    fn recent_events_are_read_as_the_index_reads_them() {
        let migration = include_str!("../../../migrations/0008_add_event_search/up.sql");
        assert!(migration.contains(&format!("tokenize = '{TOKENIZER}'")));
    }
}
