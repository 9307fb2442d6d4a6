//! The read connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::adaptive::{LatencyPredictor, ListPredictor};
use super::connection::{OwnConnection, read_unchanged};
use super::file::DatabaseFile;
use super::options::StoreOptions;
use super::pragma::Role;
use super::read_extent::{ListKind, ReadExtent};
use super::runtime::{AcquireTimeout, catch_panic, drop_on_blocking_pool};
use super::transaction::{DatabaseId, as_closure_of, rollback, run_alone};
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::read_budget::ReadBudget;

/// How long an idle reader above the kept number stays open.
const IDLE: Duration = Duration::from_secs(60);

/// A read by key takes microseconds where a commit takes a hundred of them: one that takes this part of the budget reads
/// from the disk, and a hop to another thread costs no more than that.
const ROW_SHARE: u32 = 5;

/// What a list may have in rows, and a read in bytes, on its caller's thread. A prediction is wrong at times: this is the
/// worst then.
const INLINE_ROWS: usize = 128;
const INLINE_BYTES: usize = 256 * 1024;

pub(super) struct Readers {
    file: DatabaseFile,
    slots: Arc<Semaphore>,
    connections: u32,
    idle: Mutex<Vec<Idle>>,
    kept: usize,
    busy_timeout: Duration,
    timeout: Arc<AcquireTimeout>,
    /// What reads by key take, and lists of each kind.
    rows: LatencyPredictor,
    lists: [ListPredictor; ListKind::COUNT],
}

/// What became of one of the store's own reads.
pub(super) struct Ran<T> {
    pub(super) result: Result<T, StateStoreError>,
    pub(super) took: Duration,
    /// Whether it stopped because it was too much for the caller's thread.
    pub(super) is_stopped: bool,
    /// Whether it found that more events wait to be indexed than usual.
    pub(super) is_index_behind: bool,
}

struct Idle {
    connection: OwnConnection,
    since: Instant,
}

impl Readers {
    pub(super) fn new(
        file: &DatabaseFile,
        options: &StoreOptions,
        timeout: Arc<AcquireTimeout>,
    ) -> Self {
        Self {
            file: file.clone(),
            slots: Arc::new(Semaphore::new(options.readers)),
            // At the most 1024: `StoreOptions::check`.
            connections: u32::try_from(options.readers).unwrap_or(1),
            idle: Mutex::new(Vec::new()),
            kept: options.kept,
            busy_timeout: options.busy_timeout,
            timeout,
            rows: LatencyPredictor::new(options.inline_budget / ROW_SHARE),
            lists: std::array::from_fn(|_| ListPredictor::new(options.inline_budget)),
        }
    }

    /// Returns a reader as soon as one is free. It opens its connection when it runs.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        operation: &'static str,
    ) -> Result<Reader, StateStoreError> {
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Ok(slot),
            Err(TryAcquireError::Closed) => return Err(StateStoreError::Closed),
            Err(TryAcquireError::NoPermits) => {
                let slot = Arc::clone(&self.slots).acquire_owned();
                let waited = self.timeout.wait(slot).await;
                waited.ok_or_else(|| StateStoreError::Timeout {
                    operation,
                    waited: self.timeout.limit(),
                    reason: format!(
                        "all {} read connections are in use, try again, or end a `read` closure",
                        self.connections
                    ),
                })?
            }
        };
        let slot = slot.map_err(|_| StateStoreError::Closed)?;
        let idle = self.lock_idle().pop();
        Ok(self.reader(idle.map(|idle| idle.connection), slot))
    }

    /// Waits until no reader is in use.
    pub(super) async fn settle(&self) {
        drop(self.slots.acquire_many(self.connections).await);
    }

    /// Returns the connections that nobody uses, to be closed.
    pub(super) fn take_idle(&self) -> Vec<OwnConnection> {
        let idle = std::mem::take(&mut *self.lock_idle());
        idle.into_iter().map(|idle| idle.connection).collect()
    }

    fn reader(
        self: &Arc<Self>,
        connection: Option<OwnConnection>,
        slot: OwnedSemaphorePermit,
    ) -> Reader {
        Reader {
            connection,
            readers: Arc::clone(self),
            slot: Some(slot),
            used: None,
        }
    }

    /// Returns whether such a read is short enough for a runtime's thread.
    fn is_short(&self, extent: ReadExtent) -> bool {
        match extent {
            ReadExtent::Row => self.rows.is_short(),
            ReadExtent::Page(kind, rows) => {
                rows <= INLINE_ROWS && self.lists[kind as usize].is_short(rows)
            }
            ReadExtent::Many => false,
        }
    }

    /// Keeps in mind what a read took, if it says something about the next that may run on a runtime's thread.
    fn record(&self, extent: ReadExtent, rows: usize, took: Duration) {
        match extent {
            ReadExtent::Row => self.rows.record(took),
            ReadExtent::Page(kind, most) if most <= INLINE_ROWS => {
                self.lists[kind as usize].record(rows, took);
            }
            ReadExtent::Page(..) | ReadExtent::Many => {}
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a reader back; the one that has been idle longest goes if there are more than are kept.
    fn put_back(&self, connection: OwnConnection, since: Instant) -> Option<OwnConnection> {
        let mut idle = self.lock_idle();
        idle.push(Idle { connection, since });
        // The last to come back is the first to go out, so the first is the one longest idle.
        match idle.first() {
            Some(first) if idle.len() > self.kept && since - first.since > IDLE => {
                Some(idle.remove(0).connection)
            }
            _ => None,
        }
    }
}

/// A read connection that is nobody else's; it goes back when it is dropped.
pub(super) struct Reader {
    connection: Option<OwnConnection>,
    readers: Arc<Readers>,
    slot: Option<OwnedSemaphorePermit>,
    /// When it last read, where that is known.
    used: Option<Instant>,
}

impl Reader {
    /// Returns whether it may read on the caller's thread: it is open, and recent reads like this one were short.
    pub(super) fn is_ready(&self, extent: ReadExtent) -> bool {
        // Where nothing may be written, a read may have to be done again.
        let is_steady = !self.readers.file.is_read_only();
        self.connection.is_some() && is_steady && self.readers.is_short(extent)
    }

    /// Runs one of the store's own reads. `may_wait` says whether this thread may wait for a lock, and for a long read.
    pub(super) fn run<T>(
        mut self,
        may_wait: bool,
        extent: ReadExtent,
        work: &mut dyn FnMut(&mut SqliteConnection, &ReadBudget) -> Result<T, StateStoreError>,
    ) -> Ran<T> {
        let readers = Arc::clone(&self.readers);
        let file = &readers.file;
        let mut started = Instant::now();
        let mut budget = ReadBudget::new(None);
        let result = read_unchanged(file, || {
            let connection = match self.open() {
                Ok(connection) => connection,
                Err(error) => return (Err(error), false),
            };
            // Opening says nothing about the next read.
            started = Instant::now();
            budget = ReadBudget::new((!may_wait).then_some(INLINE_BYTES));
            let result = connection.check_schema(started).and_then(|()| {
                connection.run(may_wait, |connection| {
                    catch_panic(|| work(connection, &budget))
                })
            });
            let is_void = connection.is_outdated(file);
            if is_void || (file.is_read_only() && result.is_err()) {
                self.connection = None;
            }
            (result, is_void)
        });
        let ended = Instant::now();
        self.used = Some(ended);
        let took = ended - started;
        let is_stopped = budget.is_exceeded();
        if is_stopped {
            // The next such reads are measured where they may take their time.
            self.readers.record(extent, 0, Duration::MAX);
        } else {
            self.readers.record(extent, budget.rows(), took);
        }
        if let Err(StateStoreError::Panicked { .. } | StateStoreError::DatabaseError(_)) = result {
            self.discard();
        }
        Ran {
            result,
            took,
            is_stopped,
            is_index_behind: budget.is_index_behind(),
        }
    }

    /// Runs a caller's closure in a read transaction of its own, which is one snapshot of the database.
    pub(super) fn run_closure<T>(
        mut self,
        database: DatabaseId,
        work: impl FnOnce(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        let readers = Arc::clone(&self.readers);
        read_unchanged(&readers.file, || {
            let connection = match self.open() {
                Ok(connection) => connection,
                Err(error) => return (Err(error), false),
            };
            let begun = connection.begin_read(&readers.file);
            let is_void = connection.is_outdated(&readers.file);
            if is_void || begun.is_err() {
                self.connection = None;
            }
            (begun, is_void)
        })?;
        // As it was begun: `open` would take another where the file has changed.
        let Some(connection) = &mut self.connection else {
            return Err(StateStoreError::Closed);
        };
        let mut is_clean = false;
        let mut notes = CommitNotes::default();
        let result = connection.run(true, |connection| {
            let (result, is_intact) =
                as_closure_of(database, || run_alone(connection, &mut notes, work));
            is_clean = rollback(connection) && is_intact;
            result
        });
        // The closure can't be run once more.
        let result = if connection.is_outdated(&readers.file) {
            Err(StateStoreError::Busy { operation: "read" })
        } else {
            result
        };
        let is_as_before = notes.lent_within.is_none() || connection.reset();
        if !is_clean || !is_as_before {
            self.discard();
        }
        result
    }

    fn open(&mut self) -> Result<&mut OwnConnection, StateStoreError> {
        let readers = &self.readers;
        if let Some(connection) = &self.connection
            && connection.is_outdated(&readers.file)
        {
            self.connection = None;
        }
        Ok(match &mut self.connection {
            Some(connection) => connection,
            closed => closed.insert(OwnConnection::open(
                &readers.file,
                Role::Reader,
                readers.busy_timeout,
            )?),
        })
    }

    fn discard(&mut self) {
        // The slot is free once the connection is closed.
        drop_on_blocking_pool((self.connection.take(), self.slot.take()));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let since = self.used.unwrap_or_else(Instant::now);
        let surplus = self
            .connection
            .take()
            .and_then(|connection| self.readers.put_back(connection, since));
        if surplus.is_some() {
            drop_on_blocking_pool((surplus, self.slot.take()));
        }
    }
}
