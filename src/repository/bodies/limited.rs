//! Queries with a limit.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;

use super::dialect::Db;

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

impl<Q: QueryFragment<Db>> QueryFragment<Db> for Limited<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Db>) -> QueryResult<()> {
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
