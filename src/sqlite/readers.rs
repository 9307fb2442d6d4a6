//! The read connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_diesel::sqlite::Pool;
use diesel::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::closure;
use super::connect::{DatabaseFile, Role, pool, pool_error};
use super::held::Held;
use super::options::StoreOptions;
use super::recent::RecentTime;
use super::transaction::{begin, in_savepoint, rollback, secret_name};
use crate::error::StateStoreError;

/// How long an idle reader above the kept number stays open.
const IDLE: Duration = Duration::from_secs(60);

pub(super) struct Readers {
    pool: Pool,
    slots: Arc<Semaphore>,
    connections: u32,
    idle: Mutex<Vec<Idle>>,
    kept: usize,
    acquire_timeout: Duration,
    busy_timeout: Duration,
    recent: RecentTime,
}

struct Idle {
    held: Held,
    since: Instant,
}

impl Readers {
    pub(super) fn new(
        file: &DatabaseFile,
        options: &StoreOptions,
    ) -> Result<Self, StateStoreError> {
        Ok(Self {
            pool: pool(file, Role::Reader, options.readers, options)?,
            slots: Arc::new(Semaphore::new(options.readers)),
            // At the most 1024: `StoreOptions::check`.
            connections: u32::try_from(options.readers).unwrap_or(1),
            idle: Mutex::new(Vec::new()),
            kept: options.kept,
            acquire_timeout: options.acquire_timeout,
            busy_timeout: options.busy_timeout,
            recent: RecentTime::new(options.inline_budget),
        })
    }

    /// A reader that is free and open at this moment, for short work on the caller's thread.
    pub(super) fn at_once(self: &Arc<Self>) -> Option<Reader> {
        if !self.recent.is_short() {
            return None;
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let idle = self.lock_idle().pop()?;
        Some(self.reader(idle.held, slot))
    }

    /// A reader, as soon as there is one.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        operation: &'static str,
    ) -> Result<Reader, StateStoreError> {
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(TryAcquireError::Closed) => return Err(StateStoreError::Closed),
            Err(TryAcquireError::NoPermits) => {
                let slot = Arc::clone(&self.slots).acquire_owned();
                tokio::time::timeout(self.acquire_timeout, slot)
                    .await
                    .map_err(|_| StateStoreError::Timeout {
                        operation,
                        waited: self.acquire_timeout,
                    })?
                    .map_err(|_| StateStoreError::Closed)?
            }
        };
        let idle = self.lock_idle().pop();
        if let Some(idle) = idle {
            return Ok(self.reader(idle.held, slot));
        }
        let object = self
            .pool
            .get()
            .await
            .map_err(|error| pool_error(error, operation))?;
        let held = Held::new(object, Role::Reader, self.busy_timeout);
        Ok(self.reader(held, slot))
    }

    /// Waits for every reader to come back, and hands them out to be closed.
    pub(super) async fn drain(&self) -> Vec<Held> {
        // An error means that it was drained before.
        if let Ok(all) = self.slots.acquire_many(self.connections).await {
            self.slots.close();
            drop(all);
        }
        self.take_idle()
    }

    pub(super) fn take_idle(&self) -> Vec<Held> {
        let idle = std::mem::take(&mut *self.lock_idle());
        idle.into_iter().map(|idle| idle.held).collect()
    }

    fn reader(self: &Arc<Self>, held: Held, slot: OwnedSemaphorePermit) -> Reader {
        Reader {
            held: Some(held),
            readers: Arc::clone(self),
            _slot: slot,
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a reader back; the one that has been idle longest goes if there are more than are kept.
    fn put_back(&self, held: Held) {
        let since = Instant::now();
        let surplus = {
            let mut idle = self.lock_idle();
            idle.push(Idle { held, since });
            // The last to come back is the first to go out, so the first is the one longest idle.
            match idle.first() {
                Some(first) if idle.len() > self.kept && since - first.since > IDLE => {
                    Some(idle.remove(0))
                }
                _ => None,
            }
        };
        if let Some(surplus) = surplus {
            surplus.held.discard();
        }
    }
}

/// A read connection that is nobody else's; it goes back when it is dropped.
pub(super) struct Reader {
    held: Option<Held>,
    readers: Arc<Readers>,
    _slot: OwnedSemaphorePermit,
}

impl Reader {
    /// Runs one of the store's own reads. `may_wait` says whether this thread may wait for a lock.
    pub(super) fn run<T>(
        mut self,
        may_wait: bool,
        work: &mut dyn FnMut(&mut SqliteConnection) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        let started = Instant::now();
        let Some(held) = self.held.as_mut() else {
            return Err(StateStoreError::Closed);
        };
        let result = held.run(may_wait, |connection| closure::caught(|| work(connection)));
        self.readers.recent.note(started.elapsed());
        if let Err(StateStoreError::Panicked { .. } | StateStoreError::DatabaseError(_)) = result {
            self.discard();
        }
        result
    }

    /// Runs a caller's closure in a read transaction of its own, which is one snapshot of the database.
    pub(super) fn run_closure<T>(
        mut self,
        core: usize,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        let Some(held) = self.held.as_mut() else {
            return Err(StateStoreError::Closed);
        };
        let mut is_clean = false;
        let result = held.run(true, |connection| {
            begin(connection, "BEGIN")?;
            let name = secret_name();
            let (result, is_intact) =
                closure::marked(core, || in_savepoint(connection, &name, work));
            is_clean = rollback(connection) && is_intact;
            result
        });
        if !is_clean || held.configure().is_err() {
            self.discard();
        }
        result
    }

    fn discard(&mut self) {
        if let Some(held) = self.held.take() {
            held.discard();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.readers.put_back(held);
        }
    }
}
