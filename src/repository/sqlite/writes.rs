//! Statements that write, as SQLite is asked for what they did.

/// Inserts one row; returns its number.
macro_rules! inserted {
    ($connection:expr, $table:ident, $insert:expr) => {{
        use super::dialect::last_insert_rowid;
        let insert = $insert;
        super::prepared::prepared!(insert).write($connection)?;
        let seq: i64 = diesel::select(last_insert_rowid()).get_result($connection)?;
        seq
    }};
}
pub(super) use inserted;

/// Inserts one row or none; returns its number.
macro_rules! inserted_if_any {
    ($connection:expr, $table:ident, $insert:expr) => {{
        use super::dialect::{changes, last_insert_rowid};
        let insert = $insert;
        super::prepared::prepared!(insert).write($connection)?;
        let (changes, seq): (i64, i64) =
            diesel::select((changes(), last_insert_rowid())).get_result($connection)?;
        (changes > 0).then_some(seq)
    }};
}
pub(super) use inserted_if_any;

/// Inserts a row that isn't there; returns whether it did. Nobody else writes meanwhile, so it always does.
macro_rules! inserted_as_new {
    ($connection:expr, $table:ident, $insert:expr) => {{
        let insert = $insert;
        super::prepared::prepared!(insert).write($connection)?;
        true
    }};
}
pub(super) use inserted_as_new;

/// Inserts a row, or writes over the one that is there; returns whether it did. Nobody else writes meanwhile, so it always does.
macro_rules! upserted {
    ($connection:expr, $table:ident, $upsert:expr) => {{
        let upsert = $upsert;
        super::prepared::prepared!(upsert).write($connection)?;
        true
    }};
}
pub(super) use upserted;

/// Removes the rows that a query picks; returns how many, and the highest of their revisions. RETURNING would keep a copy of every
/// page.
macro_rules! removed {
    ($connection:expr, $table:ident, $picked:expr) => {{
        let picked = $picked;
        let highest: Option<i64> = picked
            .select(diesel::dsl::max($table::revision))
            .get_result($connection)?;
        (diesel::delete(picked).execute($connection)?, highest)
    }};
}
pub(super) use removed;
