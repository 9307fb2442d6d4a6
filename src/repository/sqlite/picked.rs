//! The numbers that a limited query picks.

use diesel::expression::{Expression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::BigInt;

use super::dialect::Db;
use super::limited::Limited;

// `column IN (query)`, for a query of another type than Diesel's own.
diesel::infix_operator!(IsAmong, " IN ", backend: Db);

/// The numbers, as the right side of [`IsAmong`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Picked<Q>(pub(super) Limited<Q>);

impl<Q: QueryFragment<Db>> QueryFragment<Db> for Picked<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Db>) -> QueryResult<()> {
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
