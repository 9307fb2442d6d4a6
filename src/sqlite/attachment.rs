//! One store's hold on a database file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_diesel::sqlite::Pool;
use diesel::SqliteConnection;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use super::closure::refuse_reentry;
use super::core::Core;
use super::operation::{Shape, Traces};
use super::options::{OpenMode, StoreOptions};
use super::registry;
use super::threads::{give_way, on_blocking_pool};
use super::writer::Finish;
use crate::error::StateStoreError;
use crate::migrations::{Revert, Schema};

/// One store's hold on a core: what `open` gives. Clones of the store share it.
pub(crate) struct Attachment {
    core: Arc<Core>,
    mode: OpenMode,
    /// Each call in flight holds one permit; closing takes them all.
    calls: Semaphore,
    has_left: AtomicBool,
    /// Whether no other store had the file open when this one left it.
    was_last: AtomicBool,
    /// Whether `close` has done its work; locked by whoever does it.
    is_closed: Mutex<bool>,
}

const CALLS: u32 = 1 << 28;

impl Attachment {
    /// Opens the file, or joins those that have it open in this process.
    pub(crate) async fn open(
        path: PathBuf,
        options: StoreOptions,
        finish: Finish,
    ) -> Result<Self, StateStoreError> {
        Self::attach(options, move |options, runtime| {
            registry::join(&path, options, runtime, finish, None)
        })
        .await
    }

    /// Opens a file in a private directory that goes with the store.
    pub(crate) async fn temporary(
        options: StoreOptions,
        finish: Finish,
    ) -> Result<Self, StateStoreError> {
        Self::attach(options, move |options, runtime| {
            let directory = temporary_directory()?;
            let path = directory.path().join("state.db");
            registry::join(&path, options, runtime, finish, Some(directory))
        })
        .await
    }

    async fn attach(
        options: StoreOptions,
        join: impl FnOnce(&StoreOptions, &Handle) -> Result<Arc<Core>, StateStoreError> + Send + 'static,
    ) -> Result<Self, StateStoreError> {
        options.check()?;
        let runtime = Handle::try_current().map_err(|_| StateStoreError::Unsupported {
            reason: "a store is opened inside a tokio runtime".into(),
        })?;
        let own = runtime.clone();
        on_blocking_pool(&runtime, move || {
            let core = join(&options, &own)?;
            Ok(Self {
                core,
                mode: options.mode,
                calls: Semaphore::new(CALLS as usize),
                has_left: AtomicBool::new(false),
                was_last: AtomicBool::new(false),
                is_closed: Mutex::new(false),
            })
        })
        .await
    }

    pub(crate) fn path(&self) -> &Path {
        self.core.file.path()
    }

    /// The second pool, for the application's own queries; read-only.
    pub(crate) fn queries(&self) -> &Pool {
        &self.core.queries
    }

    pub(crate) async fn initialize(&self) -> Result<(), StateStoreError> {
        let _call = self.enter("initialize")?;
        self.core.initialize(self.mode).await
    }

    pub(crate) async fn schema(&self, operation: &'static str) -> Result<Schema, StateStoreError> {
        let _call = self.enter(operation)?;
        self.core.schema().await
    }

    /// Reverts the last migration, or only shows what would go.
    pub(crate) async fn revert(
        &self,
        operation: &'static str,
        keep: bool,
    ) -> Result<Revert, StateStoreError> {
        let _call = self.enter(operation)?;
        self.core.revert(operation, keep).await
    }

    /// A read by the store itself: on this thread if it is short and a reader is free, else on the blocking pool.
    pub(crate) async fn read<T, F>(
        &self,
        operation: &'static str,
        is_short: bool,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection) -> Result<T, StateStoreError> + Send + 'static,
    {
        let _call = self.enter(operation)?;
        self.core.ensure_ready().await?;
        let readers = &self.core.connections()?.readers;
        let mut reader = readers.acquire(operation).await?;
        if is_short && reader.is_ready() {
            let (result, took) = reader.run(false, is_short, &mut work);
            give_way(took, self.has_company()).await;
            if !matches!(result, Err(StateStoreError::Busy { .. })) {
                return result.map_err(|error| error.during(operation));
            }
            // This thread may not wait for the lock; one of the blocking pool may.
            reader = readers.acquire(operation).await?;
        }
        self.core
            .blocking(move |_| reader.run(true, is_short, &mut work).0)
            .await
            .map_err(|error| error.during(operation))
    }

    /// A read by a caller's closure, in one snapshot.
    pub(crate) async fn read_closure<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Traces) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let _call = self.enter(operation)?;
        self.core.ensure_ready().await?;
        let reader = self.core.connections()?.readers.acquire(operation).await?;
        self.core
            .blocking(move |core| reader.run_closure(core.id, work))
            .await
            .map_err(|error| error.during(operation))
    }

    /// A write, through the lane.
    pub(crate) async fn write<T, F>(
        &self,
        operation: &'static str,
        shape: Shape,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut Traces) -> Result<T, StateStoreError> + Send + 'static,
    {
        let _call = self.enter(operation)?;
        self.core.ensure_ready().await?;
        let checkpoints = &self.core.connections()?.checkpoints;
        if checkpoints.is_full() {
            let checkpoints = Arc::clone(checkpoints);
            self.core.blocking(move |_| checkpoints.make_room()).await?;
        }
        let lane = &self.core.connections()?.lane;
        lane.submit(operation, shape, self.core.submitter(), work)
            .await
    }

    /// Refuses new calls, waits for those in flight, and closes the core if no other store uses it.
    ///
    /// Each step may be done again: a `close` that was dropped half-way is taken up by the next.
    pub(crate) async fn close(&self) -> Result<(), StateStoreError> {
        refuse_reentry(self.core.id, "close")?;
        let mut is_closed = self.is_closed.lock().await;
        if *is_closed {
            return Ok(());
        }
        let all = self.calls.acquire_many(CALLS).await;
        self.calls.close();
        drop(all);
        self.leave();
        let result = if self.was_last.load(Ordering::Acquire) {
            self.core.shut_down().await
        } else {
            Ok(())
        };
        *is_closed = true;
        result
    }

    /// Whether other calls are under way.
    fn has_company(&self) -> bool {
        self.calls.available_permits() < CALLS as usize - 1
    }

    fn enter(&self, operation: &'static str) -> Result<SemaphorePermit<'_>, StateStoreError> {
        refuse_reentry(self.core.id, operation)?;
        self.calls
            .try_acquire()
            .map_err(|_| StateStoreError::Closed)
    }

    fn leave(&self) {
        if !self.has_left.swap(true, Ordering::AcqRel) {
            let was_last = registry::leave(&self.core);
            self.was_last.store(was_last, Ordering::Release);
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.leave();
    }
}

fn temporary_directory() -> Result<TempDir, StateStoreError> {
    tempfile::Builder::new()
        .prefix("descartes-state-")
        .tempdir()
        .map_err(|error| StateStoreError::Unsupported {
            reason: format!("no temporary directory: {error}"),
        })
}
