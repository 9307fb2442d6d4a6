//! Statements that write, as PostgreSQL is asked for what they did.

/// Inserts one row; returns its number.
macro_rules! inserted {
    ($connection:expr, $table:ident, $insert:expr) => {{
        use crate::schema::$table as target;
        let insert = $insert.returning(target::seq);
        let seq: i64 = super::prepared::prepared!(insert).get_result($connection)?;
        seq
    }};
}
pub(super) use inserted;

/// Inserts one row or none; returns its number.
macro_rules! inserted_if_any {
    ($connection:expr, $table:ident, $insert:expr) => {{
        use crate::schema::$table as target;
        let insert = $insert.returning(target::seq);
        let seq: Option<i64> = super::prepared::prepared!(insert)
            .get_result($connection)
            .optional()?;
        seq
    }};
}
pub(super) use inserted_if_any;

/// Inserts a row that isn't there; returns whether it did, or somebody else was faster.
macro_rules! inserted_as_new {
    ($connection:expr, $table:ident, $insert:expr) => {{
        let insert = $insert.on_conflict_do_nothing().returning($table::revision);
        let inserted: Option<i64> = super::prepared::prepared!(insert)
            .get_result($connection)
            .optional()?;
        inserted.is_some()
    }};
}
pub(super) use inserted_as_new;

/// Inserts a row, or writes over the one that is there; returns whether it did.
macro_rules! upserted {
    ($connection:expr, $table:ident, $upsert:expr) => {{
        let upsert = $upsert.returning($table::revision);
        let written: Option<i64> = super::prepared::prepared!(upsert)
            .get_result($connection)
            .optional()?;
        written.is_some()
    }};
}
pub(super) use upserted;

/// Removes the rows that a query picks; returns how many, and the highest of their revisions. In one statement: others may change
/// them meanwhile.
macro_rules! removed {
    ($connection:expr, $table:ident, $picked:expr) => {{
        let removed = diesel::delete($picked).returning($table::revision);
        let removed: Vec<i64> = removed.get_results($connection)?;
        (removed.len(), removed.into_iter().max())
    }};
}
pub(super) use removed;
