//! A connection that was taken from deadpool once, and is held.

use std::time::Duration;

use deadpool_diesel::sqlite::Object;
use diesel::SqliteConnection;

use super::connect::{self, Role};
use crate::error::{DatabaseError, DatabaseFailure, StateStoreError};

pub(super) struct Held {
    object: Object,
    role: Role,
    busy_timeout: Duration,
    /// Whether SQLite waits for a lock now; on a runtime's thread it must not.
    waits: bool,
}

impl Held {
    /// A connection fresh from the pool, which gave it its busy timeout.
    pub(super) fn new(object: Object, role: Role, busy_timeout: Duration) -> Self {
        Self {
            object,
            role,
            busy_timeout,
            waits: true,
        }
    }

    /// Runs work on the connection. `may_wait` says whether this thread may wait for a lock.
    pub(super) fn run<T>(
        &mut self,
        may_wait: bool,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        let mut connection = self.object.lock().map_err(|_| poisoned())?;
        if self.waits != may_wait {
            let timeout = if may_wait {
                self.busy_timeout
            } else {
                Duration::ZERO
            };
            connect::set_busy_timeout(&mut connection, timeout)?;
            self.waits = may_wait;
        }
        work(&mut connection)
    }

    /// Sets again what a caller's closure may have changed.
    pub(super) fn configure(&mut self) -> Result<(), StateStoreError> {
        let mut connection = self.object.lock().map_err(|_| poisoned())?;
        self.waits = true;
        connect::configure(&mut connection, self.role, self.busy_timeout)
    }

    /// Closes the connection, and gives its place in the pool free. Inside the runtime only.
    pub(super) fn discard(self) {
        drop(Object::take(self.object));
    }

    /// Closes the connection on this thread, so that it is closed when this returns.
    pub(super) fn close(self) {
        // deadpool closes in the background; an empty database in memory stands in for the connection until then.
        let stand_in = <SqliteConnection as diesel::Connection>::establish(":memory:");
        if let (Ok(mut connection), Ok(stand_in)) = (self.object.lock(), stand_in) {
            drop(std::mem::replace(&mut *connection, stand_in));
        }
        self.discard();
    }
}

fn poisoned() -> StateStoreError {
    StateStoreError::DatabaseError(DatabaseError::new(
        DatabaseFailure::Other,
        "a connection was poisoned by a panic",
    ))
}
