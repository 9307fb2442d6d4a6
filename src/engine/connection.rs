//! Connections to the database file: the store's own, which one owner at a time holds, and deadpool's for the application.

use std::time::{Duration, Instant};

use deadpool_diesel::sqlite::{Hook, HookError, Manager, Pool, Runtime};
use diesel::prelude::*;

use super::file::{Access, DatabaseFile};
use super::file_identity::LogIdentity;
use super::options::StoreOptions;
use super::pragma::{self, Role};
use super::read_only::{FileStamp, Reading, reading};
use super::transaction::{begin, rollback};
use crate::error::{DatabaseError, DatabaseFailure, ErrorKind, StateStoreError};
use crate::migrations;

/// A connection of the store's own.
///
/// It isn't deadpool's: that one opens and closes its connections by hops to the blocking pool, so it can't be opened from
/// there (with one blocking thread it would wait for itself), and panics outside a runtime and in one that ends.
pub(super) struct OwnConnection {
    connection: SqliteConnection,
    busy_timeout: Duration,
    /// Whether SQLite waits for a lock now; on a runtime's thread it must not.
    waits: bool,
    /// What a caller's closure must leave as it was.
    settings: String,
    /// Which files the log and its index are that this connection writes to, once that is known.
    log: Option<LogIdentity>,
    /// When they were last looked at.
    log_seen: Option<Instant>,
    /// What SQLite says of others' commits, when the schema was last looked at by a write.
    data_version: Option<i64>,
    /// Pages in the log at which a commit has it begin again.
    log_pages: u32,
    /// When the schema was last looked at by a read.
    schema_seen: Option<Instant>,
    /// What the file was when this connection opened it as one that never changes.
    stamp: Option<FileStamp>,
}

/// How long ago log and index were looked at where they are looked at before a commit too.
const LOG_CHECK: Duration = Duration::from_millis(1);

/// How often a read connection looks whether another process has changed the schema.
const SCHEMA_CHECK: Duration = Duration::from_millis(100);

/// Opens the file that was located, and no other that has been put in its place.
fn establish(file: &DatabaseFile, access: Access) -> Result<SqliteConnection, StateStoreError> {
    file.check_place()?;
    let connection = SqliteConnection::establish(&file.uri(access));
    // First: that another file could not be opened is not the news.
    file.check_place()?;
    Ok(connection?)
}

impl OwnConnection {
    /// Opens a connection. Opening reads files, and closing (dropping) may move the log into the database: neither belongs
    /// on a runtime's thread.
    pub(super) fn open(
        file: &DatabaseFile,
        role: Role,
        busy_timeout: Duration,
    ) -> Result<Self, StateStoreError> {
        let (access, stamp) = access_for(file)?;
        let mut connection = establish(file, access)?;
        pragma::configure(&mut connection, role, busy_timeout)?;
        let settings = pragma::settings(&mut connection)?;
        Ok(Self {
            connection,
            busy_timeout,
            waits: true,
            settings,
            log: None,
            log_seen: None,
            data_version: None,
            log_pages: pragma::SHORT_LOG_PAGES,
            schema_seen: None,
            stamp,
        })
    }

    /// Returns whether the file isn't what it was when it was opened as one that never changes: what was read is worth
    /// nothing then, and the connection neither.
    pub(super) fn is_outdated(&self, file: &DatabaseFile) -> bool {
        is_outdated(file, self.stamp.as_ref())
    }

    /// Checks after a commit that the file, and the log that this connection writes to, are still at their paths.
    ///
    /// # Errors
    /// `DatabaseMoved`.
    pub(super) fn check_place(&mut self, file: &DatabaseFile) -> Result<(), StateStoreError> {
        file.check_place()?;
        let found = file.log_identity();
        self.log_seen = Some(Instant::now());
        match &self.log {
            // SQLite removes them only when the last connection is closed, so they stay while this one is open.
            None => self.log = Some(found),
            Some(log) if *log != found => return Err(file.lose_log(log, &found)),
            Some(_) => {}
        }
        Ok(())
    }

    /// Checks before a commit that log and index are still at their paths, unless they were looked at a moment ago. A
    /// process that opens the database without the index that we use shares no lock with us.
    ///
    /// # Errors
    /// `DatabaseMoved`.
    pub(super) fn check_log(&mut self, file: &DatabaseFile) -> Result<(), StateStoreError> {
        let is_due = |seen: Instant| seen.elapsed() >= LOG_CHECK;
        if self.log.is_none() || !self.log_seen.is_some_and(is_due) {
            return Ok(());
        }
        self.check_place(file)
    }

    /// Checks in an open transaction that the schema is still whole, if anybody else has committed since the last time.
    ///
    /// # Errors
    /// `NotInitialized` or `NewerDatabase`.
    pub(super) fn check_schema_of_transaction(
        connection: &mut SqliteConnection,
        seen: &mut Option<i64>,
    ) -> Result<(), StateStoreError> {
        let version = pragma::data_version(connection)?;
        if *seen != Some(version) {
            migrations::require_whole(connection)?;
            *seen = Some(version);
        }
        Ok(())
    }

    /// Takes out what the last transaction saw of others' commits, to be put back after the next.
    pub(super) fn data_version(&mut self) -> &mut Option<i64> {
        &mut self.data_version
    }

    pub(super) fn log_pages(&self) -> u32 {
        self.log_pages
    }

    /// Sets at how many pages in the log a commit has it begin again.
    pub(super) fn set_log_pages(&mut self, pages: u32) {
        if pages != self.log_pages && pragma::bound_wal(&mut self.connection, pages).is_ok() {
            self.log_pages = pages;
        }
    }

    /// Checks that the schema is still whole, from time to time. A write looks each time; a read by key takes no longer
    /// than the look.
    ///
    /// # Errors
    /// `NotInitialized` or `NewerDatabase`.
    pub(super) fn check_schema(&mut self, now: Instant) -> Result<(), StateStoreError> {
        if self
            .schema_seen
            .is_some_and(|seen| now - seen < SCHEMA_CHECK)
        {
            return Ok(());
        }
        migrations::require_whole(&mut self.connection)?;
        self.schema_seen = Some(now);
        Ok(())
    }

    /// Begins a transaction that reads.
    ///
    /// # Errors
    /// `NotInitialized` or `NewerDatabase`, with the transaction rolled back.
    pub(super) fn begin_read(&mut self, file: &DatabaseFile) -> Result<(), StateStoreError> {
        self.run(true, |connection| begin(connection, "BEGIN"))?;
        let checked = if file.is_read_only() {
            // The first read decides what the others see, and whether they see anything.
            migrations::require_whole(&mut self.connection)
        } else {
            self.check_schema(Instant::now())
        };
        if checked.is_err() {
            rollback(&mut self.connection);
        }
        checked
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
            pragma::set_busy_timeout(&mut self.connection, timeout)?;
            self.waits = may_wait;
        }
        work(&mut self.connection)
    }

    /// Resets what a caller's closure may have set; returns false if it changed something else, and the connection has to
    /// go.
    ///
    /// Settings are compared, not set: setting one makes SQLite prepare every statement again.
    pub(super) fn reset(&mut self) -> bool {
        // SQLite refuses to look at the log while a statement still runs: the closure leaked one, and with it a snapshot.
        match pragma::checkpoint_noop(&mut self.connection) {
            Ok(_) => {}
            // Where nothing may be written, SQLite refuses that only after it has looked for statements.
            Err(error) if error.kind() == ErrorKind::ReadOnly => {}
            Err(_) => {
                tracing::warn!(
                    "a closure left a statement running (a row iterator that was leaked): its connection can't be closed"
                );
                self.abandon();
                return false;
            }
        }
        let bounds = pragma::bound_wal(&mut self.connection, self.log_pages);
        bounds.is_ok() && pragma::settings(&mut self.connection).as_ref() == Ok(&self.settings)
    }
}

impl OwnConnection {
    /// Leaves a connection open for good: one on which a statement still runs, since SQLite refuses to close it, and Diesel
    /// panics then; and one that would move its log into a file that is another store's.
    pub(super) fn abandon(&mut self) {
        // An empty database in memory stands in for it.
        if let Ok(stand_in) = SqliteConnection::establish(":memory:") {
            std::mem::forget(std::mem::replace(&mut self.connection, stand_in));
        }
    }
}

/// Returns how to open a file now, and what it is where it is opened as one that never changes.
fn access_for(file: &DatabaseFile) -> Result<(Access, Option<FileStamp>), StateStoreError> {
    if !file.is_read_only() {
        return Ok((Access::ReadWrite, None));
    }
    file.check_place()?;
    Ok(match reading(file.path())? {
        Reading::ThroughLog => (Access::ReadOnly, None),
        Reading::Unchanging(stamp) => (Access::WithoutLog, Some(stamp)),
    })
}

fn is_outdated(file: &DatabaseFile, stamp: Option<&FileStamp>) -> bool {
    stamp.is_some_and(|stamp| !FileStamp::of(file.path()).is_ok_and(|found| found == *stamp))
}

/// How often a file that can only be read is read, while others change it.
const READ_ATTEMPTS: usize = 3;
const READ_PAUSE: Duration = Duration::from_millis(20);

/// Reads, and reads again where others are changing a file that can only be read: three times at most. `read` opens a
/// connection where it has none, and also returns whether what it read is worth nothing because the file has changed.
///
/// # Errors
/// `Busy` where it has changed each time, or the last attempt's.
pub(super) fn read_unchanged<T>(
    file: &DatabaseFile,
    mut read: impl FnMut() -> (Result<T, StateStoreError>, bool),
) -> Result<T, StateStoreError> {
    let mut attempts = 1;
    loop {
        let (result, is_void) = read();
        // Somebody is making the log, or taking it away: who may not write can't help with that.
        let is_in_between = file.is_read_only()
            && matches!(&result, Err(error) if [ErrorKind::ReadOnly, ErrorKind::CannotOpen].contains(&error.kind()));
        if !is_void && (!is_in_between || attempts == READ_ATTEMPTS) {
            return result;
        }
        if attempts == READ_ATTEMPTS {
            return Err(StateStoreError::Busy { operation: "read" });
        }
        attempts += 1;
        if is_in_between {
            #[allow(clippy::disallowed_methods)] // Nothing tells when another process is done.
            std::thread::sleep(READ_PAUSE);
        }
    }
}

/// Does something on a plain connection to a file that can only be read.
pub(super) fn with_read_only<T>(
    file: &DatabaseFile,
    busy_timeout: Duration,
    work: impl Fn(&mut SqliteConnection) -> Result<T, StateStoreError>,
) -> Result<T, StateStoreError> {
    read_unchanged(file, || {
        let (access, stamp) = match access_for(file) {
            Ok(found) => found,
            Err(error) => return (Err(error), false),
        };
        let result =
            connect(file, access, busy_timeout).and_then(|mut connection| work(&mut connection));
        (result, is_outdated(file, stamp.as_ref()))
    })
}

/// Opens a plain connection, outside every pool, with a busy timeout.
pub(super) fn connect(
    file: &DatabaseFile,
    access: Access,
    busy_timeout: Duration,
) -> Result<SqliteConnection, StateStoreError> {
    let mut connection = establish(file, access)?;
    pragma::set_busy_timeout(&mut connection, busy_timeout)?;
    Ok(connection)
}

type PooledConnection = deadpool_diesel::Connection<SqliteConnection>;

/// Returns the deadpool pool for the application's own queries: its connections are readers.
pub(super) fn pool(file: &DatabaseFile, options: &StoreOptions) -> Result<Pool, StateStoreError> {
    let busy_timeout = options.busy_timeout;
    // Nobody looks whether the file changed under these, so they read only through the log.
    let access = if file.is_read_only() {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let manager = Manager::new(file.uri(access), Runtime::Tokio1);
    Pool::builder(manager)
        .max_size(options.readers)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(options.acquire_timeout))
        .create_timeout(Some(options.acquire_timeout))
        .recycle_timeout(Some(options.acquire_timeout))
        .post_create(Hook::async_fn(move |object: &mut PooledConnection, _| {
            Box::pin(async move {
                object
                    .interact(move |connection| {
                        pragma::configure(connection, Role::Reader, busy_timeout)
                    })
                    .await
                    .map_err(|error| HookError::message(error.to_string()))?
                    .map_err(|error| HookError::message(error.to_string()))
            })
        }))
        .build()
        .map_err(|error| {
            StateStoreError::DatabaseError(DatabaseError::new(DatabaseFailure::Other, error))
        })
}

/// Closes the pool's idle connections on this thread, so that they are closed when this returns. Those that are out are
/// their holders'. Inside a runtime only.
pub(super) fn close_pool(pool: &Pool, close: impl Fn(SqliteConnection)) {
    let idle = pool.retain(|_, _| false).removed;
    pool.close();
    for connection in idle {
        // deadpool closes in the background; an empty database in memory stands in for the connection until then.
        let stand_in = SqliteConnection::establish(":memory:");
        if let (Ok(mut connection), Ok(stand_in)) = (connection.lock(), stand_in) {
            close(std::mem::replace(&mut *connection, stand_in));
        }
    }
}
