//! Statements that SQLite prepares once a connection.
//!
//! Diesel prepares every `ON CONFLICT DO UPDATE` and every UPDATE again at each call (`unsafe_to_cache_prepared`), and writes a boxed
//! query's SQL at each call. Preparing a hot statement takes about as long as running it, or longer
//! (`docs/performance.md`). The hot statements are therefore marked: their SQL never varies, so their type is their key.

use std::marker::PhantomData;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;

use super::dialect::{Connection, Db};

/// A query of Diesel's with a static [`QueryId`]; made by [`prepared!`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared<Name, Q> {
    query: Q,
    name: PhantomData<Name>,
}

impl<Name, Q> Prepared<Name, Q> {
    /// `Name` belongs to one place in the source: two statements of one name would run as the same.
    pub(super) fn new(query: Q) -> Self {
        Self {
            query,
            name: PhantomData,
        }
    }
}

impl<Name: 'static, Q> QueryId for Prepared<Name, Q> {
    type QueryId = Prepared<Name, ()>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Name, Q: QueryFragment<Db>> QueryFragment<Db> for Prepared<Name, Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        self.query.walk_ast(pass)
    }

    /// Diesel can't know that the SQL never varies; a debug build checks it at each call.
    fn is_safe_to_cache_prepared(&self, _: &Db) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Name, Q: Query> Query for Prepared<Name, Q> {
    type SqlType = Q::SqlType;
}

impl<Name, Q, C> RunQueryDsl<C> for Prepared<Name, Q> {}

impl<Name: 'static, Q: QueryFragment<Db>> Prepared<Name, Q> {
    /// Runs a statement that returns no rows. Not `execute`: that hands Diesel's cache a reference, which has lost the mark.
    pub(super) fn write(self, connection: &mut Connection) -> QueryResult<()> {
        // With the setting `count_changes` it returns one.
        let _rows: Vec<i64> = Write(self).load(connection)?;
        Ok(())
    }
}

/// A statement that is loaded, and returns no rows.
struct Write<Name, Q>(Prepared<Name, Q>);

impl<Name: 'static, Q> QueryId for Write<Name, Q> {
    type QueryId = Prepared<Name, ()>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Name, Q: QueryFragment<Db>> QueryFragment<Db> for Write<Name, Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &Db) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Name, Q> Query for Write<Name, Q> {
    type SqlType = BigInt;
}

impl<Name, Q, C> RunQueryDsl<C> for Write<Name, Q> {}

/// Marks a query whose SQL is the same whatever its values are. In a function without type parameters only.
macro_rules! prepared {
    ($query:expr) => {{
        struct Here;
        let query = $query;
        #[cfg(debug_assertions)]
        {
            use std::sync::OnceLock;
            static SQL: OnceLock<String> = OnceLock::new();
            let sql = super::prepared::text_of(&query);
            debug_assert_eq!(SQL.get_or_init(|| sql.clone()), &sql);
        }
        super::prepared::Prepared::<Here, _>::new(query)
    }};
}
pub(super) use prepared;

/// Returns the SQL of a query, without its values.
#[cfg(debug_assertions)]
pub(super) fn text_of<Q: QueryFragment<Db>>(query: &Q) -> String {
    let text = diesel::debug_query::<Db, _>(query).to_string();
    match text.find(" -- binds: ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
