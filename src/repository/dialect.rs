//! What only SQLite says.

use diesel::define_sql_function;
use diesel::expression::{AsExpression, Expression};
use diesel::sql_types::{BigInt, Nullable, Text};

define_sql_function! {
    /// The first argument, or the second where the first is NULL.
    fn coalesce(value: Nullable<BigInt>, otherwise: BigInt) -> BigInt;
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
diesel::prefix_operator!(UnindexedText, "+", Text, backend: diesel::sqlite::Sqlite);
diesel::prefix_operator!(UnindexedNumber, "+", BigInt, backend: diesel::sqlite::Sqlite);

diesel::infix_operator!(Matches, " MATCH ", backend: diesel::sqlite::Sqlite);

/// FTS5's `column MATCH expression`.
pub(super) trait Matching: Expression<SqlType = Text> + Sized {
    fn matches<E: AsExpression<Text>>(self, expression: E) -> Matches<Self, E::Expression> {
        Matches::new(self, expression.as_expression())
    }
}

impl<T: Expression<SqlType = Text>> Matching for T {}
