//! A connection of the store's own, which one owner at a time holds.
//!
//! It isn't deadpool's: that one opens and closes its connections by hops to the blocking pool, so it can't be opened
//! from there (with one blocking thread it would wait for itself), and panics outside a runtime and in one that ends.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::connect::{self, DatabaseFile, Role};
use crate::error::StateStoreError;

pub(super) struct Held {
    connection: SqliteConnection,
    busy_timeout: Duration,
    /// Whether SQLite waits for a lock now; on a runtime's thread it must not.
    waits: bool,
    /// What a caller's closure must leave as it was.
    settings: String,
}

impl Held {
    /// Opens a connection. Opening reads files, and closing (dropping) may move the WAL into the database: neither
    /// belongs on a runtime's thread.
    pub(super) fn open(
        file: &DatabaseFile,
        role: Role,
        busy_timeout: Duration,
    ) -> Result<Self, StateStoreError> {
        let mut connection = SqliteConnection::establish(&file.uri("rw"))?;
        connect::configure(&mut connection, role, busy_timeout)?;
        let settings = settings(&mut connection)?;
        Ok(Self {
            connection,
            busy_timeout,
            waits: true,
            settings,
        })
    }

    /// Runs work on the connection. `may_wait` says whether this thread may wait for a lock.
    pub(super) fn run<T>(
        &mut self,
        may_wait: bool,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        if self.waits != may_wait {
            let timeout = if may_wait {
                self.busy_timeout
            } else {
                Duration::ZERO
            };
            connect::set_busy_timeout(&mut self.connection, timeout)?;
            self.waits = may_wait;
        }
        work(&mut self.connection)
    }

    /// Takes back what a caller's closure left on the connection; false if the connection has to go.
    ///
    /// Settings are compared, not set: setting one makes SQLite prepare every statement anew.
    pub(super) fn restore(&mut self) -> bool {
        let bounds = connect::bound_log(&mut self.connection);
        bounds.is_ok() && settings(&mut self.connection).as_ref() == Ok(&self.settings)
    }
}

/// The settings that decide what a write means, whether it is refused, and how long it waits; other databases, and
/// temporary objects: a temporary table would hide ours of that name, a temporary trigger would run on our rows.
fn settings(connection: &mut SqliteConnection) -> QueryResult<String> {
    const SETTINGS: &[(&str, &str)] = &[
        ("timeout", "pragma_busy_timeout"),
        ("synchronous", "pragma_synchronous"),
        ("query_only", "pragma_query_only"),
        ("locking_mode", "pragma_locking_mode"),
        ("read_uncommitted", "pragma_read_uncommitted"),
        ("foreign_keys", "pragma_foreign_keys"),
        (
            "ignore_check_constraints",
            "pragma_ignore_check_constraints",
        ),
        ("writable_schema", "pragma_writable_schema"),
        ("trusted_schema", "pragma_trusted_schema"),
        ("recursive_triggers", "pragma_recursive_triggers"),
        ("legacy_alter_table", "pragma_legacy_alter_table"),
        (
            "reverse_unordered_selects",
            "pragma_reverse_unordered_selects",
        ),
        ("automatic_index", "pragma_automatic_index"),
        ("count_changes", "pragma_count_changes"),
        ("secure_delete", "pragma_secure_delete"),
        ("max_page_count", "pragma_max_page_count"),
        ("count(*)", "pragma_database_list WHERE name <> 'temp'"),
        ("count(*)", "temp.sqlite_schema"),
    ];
    let each: Vec<_> = SETTINGS
        .iter()
        .map(|(value, source)| format!("(SELECT {value} FROM {source})"))
        .collect();
    diesel::select(sql::<Text>(&each.join(" || ' ' || "))).get_result(connection)
}
