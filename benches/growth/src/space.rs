//! What takes the room in a database file, by SQLite's own account (the dbstat table, <https://www.sqlite.org/dbstat.html>).

use descartes_state::SqliteStateStore;
use descartes_state::diesel::dsl::sql;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::{BigInt, Text};

use crate::Failure;

/// The bytes of one kind of row.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    /// `events`, `agents` or `transitions`.
    pub(crate) subject: &'static str,
    pub(crate) rows: u64,
    pub(crate) table: u64,
    pub(crate) indexes: u64,
    pub(crate) search: u64,
    /// The whole file, whatever else is in it.
    pub(crate) file: u64,
}

impl Space {
    pub(crate) fn total(&self) -> u64 {
        self.table + self.indexes + self.search
    }

    pub(crate) fn a_row(&self, bytes: u64) -> f64 {
        bytes as f64 / self.rows as f64
    }
}

/// Adds up the pages of a table, of its indexes, and of the full-text index where it is the events'.
pub(crate) async fn of(
    store: &SqliteStateStore,
    subject: &'static str,
    table: &'static str,
    rows: u64,
    file: u64,
) -> Result<Space, Failure> {
    let parts: Vec<(String, String, i64)> = store
        .read(|tx| {
            let parts = sql::<(Text, Text, BigInt)>(
                "SELECT s.type, s.tbl_name, d.pgsize FROM dbstat AS d \
                 JOIN sqlite_schema AS s ON s.name = d.name WHERE d.aggregate = TRUE",
            );
            Ok(parts.load(tx.sqlite()?)?)
        })
        .await?;
    let mut space = Space {
        subject,
        rows,
        table: 0,
        indexes: 0,
        search: 0,
        file,
    };
    for (kind, owner, bytes) in parts {
        let bytes = u64::try_from(bytes)?;
        if owner == table && kind == "table" {
            space.table += bytes;
        } else if owner == table {
            space.indexes += bytes;
        } else if table == "events" && owner.starts_with("events_search") {
            space.search += bytes;
        }
    }
    Ok(space)
}
