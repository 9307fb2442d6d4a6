//! One store's handle on an open database: where calls enter, and where they are counted and closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_diesel::sqlite::Pool;
use diesel::SqliteConnection;
use tempfile::TempDir;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Mutex, SemaphorePermit};

use super::calls::Calls;
use super::database::{self, Database, SearchIndexTask};
use super::event_indexer::EventIndexer;
use super::options::{OpenMode, StoreOptions};
use super::read_extent::ReadExtent;
use super::runtime::{count_work, on_blocking_pool, yield_if_due};
use super::schema::Schema;
use super::transaction::refuse_reentry;
use super::writer::{OpenDatabase, WriteKind, WriteSize};
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::migrations::Revert;
use crate::read_budget::ReadBudget;

/// One store's handle on an open database. Clones of the store share it.
pub(crate) struct Handle {
    database: Arc<Database>,
    mode: OpenMode,
    calls: Calls,
    has_left: AtomicBool,
    /// Whether no other store had the file open when this one left it.
    was_last: AtomicBool,
    /// Whether `close` has done its work; locked by whoever does it.
    is_closed: Mutex<bool>,
}

impl Handle {
    /// Opens the file, or joins those that have it open in this process.
    pub(crate) async fn open(
        path: PathBuf,
        options: StoreOptions,
        indexer: &'static dyn EventIndexer,
    ) -> Result<Self, StateStoreError> {
        Self::open_on_blocking_pool(options, move |options, runtime| {
            database::open(&path, options, runtime, indexer, None)
        })
        .await
    }

    /// Opens a file in a private directory that goes with the store.
    pub(crate) async fn temporary(
        options: StoreOptions,
        indexer: &'static dyn EventIndexer,
    ) -> Result<Self, StateStoreError> {
        Self::open_on_blocking_pool(options, move |options, runtime| {
            let directory = temporary_directory()?;
            let path = directory.path().join("state.db");
            database::open(&path, options, runtime, indexer, Some(directory))
        })
        .await
    }

    async fn open_on_blocking_pool(
        options: StoreOptions,
        open: impl FnOnce(&StoreOptions, &Runtime) -> Result<Arc<Database>, StateStoreError>
        + Send
        + 'static,
    ) -> Result<Self, StateStoreError> {
        options.check()?;
        let runtime = Runtime::try_current().map_err(|_| StateStoreError::Unsupported {
            reason: "a store is opened inside a tokio runtime".into(),
        })?;
        let own = runtime.clone();
        on_blocking_pool(&runtime, move || {
            let database = open(&options, &own)?;
            Ok(Self {
                database,
                mode: options.mode,
                calls: Calls::new(),
                has_left: AtomicBool::new(false),
                was_last: AtomicBool::new(false),
                is_closed: Mutex::new(false),
            })
        })
        .await
    }

    pub(crate) fn path(&self) -> &Path {
        self.database.file.path()
    }

    /// Returns whether the file can't be written, so that every write is refused.
    pub(crate) fn is_read_only(&self) -> bool {
        self.database.file.is_read_only()
    }

    /// Returns the second pool, for the application's own queries; read-only.
    pub(crate) fn pool(&self) -> &Pool {
        &self.database.pool
    }

    pub(crate) async fn initialize(&self) -> Result<(), StateStoreError> {
        let _call = self.enter("initialize")?;
        self.database.initialize(self.mode).await
    }

    pub(crate) async fn schema(&self, operation: &'static str) -> Result<Schema, StateStoreError> {
        let _call = self.enter(operation)?;
        self.database.schema().await
    }

    /// Reverts the last migration, or only shows what would go.
    pub(crate) async fn revert(
        &self,
        operation: &'static str,
        keep: bool,
    ) -> Result<Revert, StateStoreError> {
        let _call = self.enter(operation)?;
        self.database.revert(operation, keep).await
    }

    /// Reads, for the store itself: on this thread if it is short and a reader is open, else on the blocking pool. The work
    /// may run twice.
    pub(crate) async fn read<T, F>(
        &self,
        operation: &'static str,
        extent: ReadExtent,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &ReadBudget) -> Result<T, StateStoreError> + Send + 'static,
    {
        let _call = self.enter(operation)?;
        self.database.ensure_ready().await?;
        if extent != ReadExtent::Many {
            // Before the read: what it returns is used, and freed, on the thread that made it.
            yield_if_due(self.calls.has_company()).await;
        }
        let readers = &self.database.connections()?.readers;
        let mut reader = readers.acquire(operation).await?;
        if reader.is_ready(extent) {
            let ran = reader.run(false, extent, &mut work);
            count_work(ran.took);
            let is_busy = matches!(ran.result, Err(StateStoreError::Busy { .. }));
            if !ran.is_stopped && !is_busy {
                self.ask_for_index(ran.is_index_behind);
                return self.database.explain(operation, ran.result).await;
            }
            // This thread may not wait for the lock, or for so large a read; one of the blocking pool may.
            reader = readers.acquire(operation).await?;
        }
        let result = self
            .database
            .blocking(move |_| {
                let ran = reader.run(true, extent, &mut work);
                Ok((ran.result?, ran.is_index_behind))
            })
            .await;
        let (value, is_index_behind) = self.database.explain(operation, result).await?;
        self.ask_for_index(is_index_behind);
        Ok(value)
    }

    /// Has the events indexed that wait, where a search found many: another program may have stopped before it did so.
    fn ask_for_index(&self, is_behind: bool) {
        if is_behind && !self.is_read_only() {
            Arc::clone(&self.database).index_soon();
        }
    }

    /// Runs a caller's closure in a read transaction: one snapshot.
    pub(crate) async fn read_closure<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let _call = self.enter(operation)?;
        self.database.ensure_ready().await?;
        let reader = self
            .database
            .connections()?
            .readers
            .acquire(operation)
            .await?;
        let result = self
            .database
            .blocking(move |database| reader.run_closure(database.id, work))
            .await;
        self.database.explain(operation, result).await
    }

    /// Writes, through the queue.
    pub(crate) async fn write<T, F>(
        &self,
        operation: &'static str,
        kind: WriteKind,
        size: WriteSize,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let _call = self.enter(operation)?;
        self.database.ensure_ready().await?;
        self.database.file.refuse_read_only()?;
        let checkpointer = &self.database.connections()?.checkpointer;
        if checkpointer.is_full() {
            let checkpointer = Arc::clone(checkpointer);
            self.database
                .blocking(move |_| checkpointer.make_room())
                .await?;
        }
        let result = self.database.submit(operation, kind, size, work).await;
        self.database.explain(operation, result).await
    }

    /// Works on the search index as a whole.
    pub(crate) async fn work_on_search_index(
        &self,
        operation: &'static str,
        task: SearchIndexTask,
    ) -> Result<(), StateStoreError> {
        let _call = self.enter(operation)?;
        self.database.ensure_ready().await?;
        self.database.work_on_search_index(operation, task).await
    }

    /// Refuses new calls, waits for those in flight, and closes the database if no other store uses it.
    ///
    /// Each step may be done again: a `close` that was dropped half-way is taken up by the next.
    pub(crate) async fn close(&self) -> Result<(), StateStoreError> {
        refuse_reentry(self.database.id, "close")?;
        let mut is_closed = self.is_closed.lock().await;
        if *is_closed {
            return Ok(());
        }
        self.calls.finish().await;
        self.leave();
        let result = if self.was_last.load(Ordering::Acquire) {
            self.database.shut_down().await
        } else {
            Ok(())
        };
        *is_closed = true;
        result
    }

    fn enter(&self, operation: &'static str) -> Result<SemaphorePermit<'_>, StateStoreError> {
        let call = self.calls.enter(self.database.id, operation)?;
        self.database.file.refuse_moved()?;
        Ok(call)
    }

    fn leave(&self) {
        if !self.has_left.swap(true, Ordering::AcqRel) {
            let was_last = self.database.leave();
            self.was_last.store(was_last, Ordering::Release);
        }
    }
}

impl Drop for Handle {
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
