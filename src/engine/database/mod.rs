//! One open database file, shared by all stores on it in this process.

mod closing;
mod connections;
mod pending_close;
mod registry;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_diesel::sqlite::Pool;
use diesel::SqliteConnection;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::connection::pool;
use super::event_indexer::EventIndexer;
use super::file::DatabaseFile;
use super::file_identity::FileIdentity;
use super::options::{Durability, OpenMode, StoreOptions};
use super::readers::Readers;
use super::runtime::{AcquireTimeout, current_or, on_blocking_pool};
use super::schema::{self, Schema};
use super::search_index;
use super::transaction::DatabaseId;
use super::wal::Checkpointer;
use super::writer::{OpenDatabase, Submitter, WriteKind, WriteSize, Writer};
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::migrations::Revert;
use connections::Connections;
use pending_close::{close_pending, lock_opening};
use registry::{Joined, Registry, Verdict};

/// The databases that are open in this process.
static OPEN: Registry<Database> = Registry::new();

/// What is done with the search index as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SearchIndexTask {
    /// Makes it again from the events.
    Rebuild,
    /// Looks whether it is sound.
    Check,
}

pub(super) struct Database {
    pub(super) id: DatabaseId,
    pub(super) file: DatabaseFile,
    identity: FileIdentity,
    durability: Durability,
    runtime: Handle,
    busy_timeout: Duration,
    indexer: &'static dyn EventIndexer,
    is_ready: AtomicBool,
    /// Whether its connections are being closed, on whatever thread.
    is_closing: AtomicBool,
    /// The application's own pool; emptied with the connections, before this handle on it goes.
    pub(super) pool: Pool,
    /// Held while the schema is made whole.
    preparing: Mutex<()>,
    /// Taken only when the database is dropped.
    connections: Option<Connections>,
}

/// Returns the database of the file: one that is open in this process, or a new one.
pub(super) fn open(
    path: &Path,
    options: &StoreOptions,
    runtime: &Handle,
    indexer: &'static dyn EventIndexer,
    directory: Option<TempDir>,
) -> Result<Arc<Database>, StateStoreError> {
    let lock = lock_opening();
    let file = DatabaseFile::locate(path, options)?;
    let identity = file.identity().clone();
    let stale = match OPEN.join(&identity, |database| database.judge(&file, options)) {
        Joined::Database(database) => return Ok(database),
        // One that isn't joined may be held by nobody else: dropping it takes the same locks.
        Joined::Refused(unwanted, error) => {
            drop(lock);
            drop(unwanted);
            return Err(error);
        }
        Joined::Stale(stale) => Some(stale),
        Joined::NotOpen => None,
    };
    close_pending(&identity, &lock);
    let opened = Database::new(file, identity, options, runtime.clone(), indexer, directory);
    let opened = opened.map(|database| {
        let database = Arc::new(database);
        OPEN.add(database.identity.clone(), database.id, &database);
        database
    });
    drop(lock);
    drop(stale);
    opened
}

impl Database {
    fn new(
        file: DatabaseFile,
        identity: FileIdentity,
        options: &StoreOptions,
        runtime: Handle,
        indexer: &'static dyn EventIndexer,
        directory: Option<TempDir>,
    ) -> Result<Self, StateStoreError> {
        let timeout = Arc::new(AcquireTimeout::new(
            options.acquire_timeout,
            runtime.clone(),
        ));
        let checkpointer = Arc::new(Checkpointer::new(&file, options, runtime.clone()));
        let writer = Writer::new(
            &file,
            options,
            runtime.clone(),
            Arc::clone(&timeout),
            Arc::clone(&checkpointer),
            indexer,
        );
        let pool = pool(&file, options)?;
        Ok(Self {
            id: DatabaseId::new(),
            connections: Some(Connections {
                writer: Arc::new(writer),
                checkpointer,
                readers: Arc::new(Readers::new(&file, options, timeout)),
                pool: pool.clone(),
                file: file.clone(),
                directory: Mutex::new(directory),
            }),
            file,
            identity,
            durability: options.durability,
            busy_timeout: options.busy_timeout,
            indexer,
            runtime,
            is_ready: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            pool,
            preparing: Mutex::new(()),
        })
    }

    /// Returns whether a store with these options may share this database.
    fn judge(&self, located: &DatabaseFile, options: &StoreOptions) -> Verdict {
        // The file may be gone, and its number another's.
        if self.file.check_place().is_err() || self.file.identity() != located.identity() {
            return Verdict::Stale;
        }
        // It may have been made writable since; the other stays with those who have it.
        if self.file.is_read_only() && !located.is_read_only() {
            return Verdict::Stale;
        }
        if self.durability == Durability::Relaxed && options.durability == Durability::Full {
            return Verdict::Refuse(StateStoreError::invalid(
                "options",
                "the file is open in this process with relaxed durability: close that store first",
            ));
        }
        Verdict::Join
    }

    /// Counts one store fewer that has it open; returns whether it was the last.
    pub(super) fn leave(&self) -> bool {
        OPEN.leave(&self.identity, self.id)
    }

    pub(super) fn connections(&self) -> Result<&Connections, StateStoreError> {
        self.connections.as_ref().ok_or(StateStoreError::Closed)
    }

    /// Puts a write into the queue, and waits for its answer.
    pub(super) async fn submit<T, F>(
        self: &Arc<Self>,
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
        let submitter = Submitter {
            database: self.id,
            keep_alive: Arc::clone(self) as Arc<dyn OpenDatabase>,
            size,
        };
        let writer = &self.connections()?.writer;
        writer.submit(operation, kind, submitter, work).await
    }

    /// Puts work into the queue that has no transaction, or one of its own on another connection.
    async fn submit_outside_transaction<T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let (kind, size) = (WriteKind::OutsideTransaction, WriteSize::SMALL);
        self.submit(operation, kind, size, work).await
    }

    /// Runs blocking work on the runtime's blocking pool; the database stays open until it is done.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StateStoreError> + Send + 'static,
    ) -> Result<T, StateStoreError> {
        let database = Arc::clone(self);
        on_blocking_pool(&current_or(&self.runtime), move || work(&database)).await
    }

    /// Makes the schema whole, or with `OpenMode::Existing` checks that it is.
    pub(super) async fn initialize(
        self: &Arc<Self>,
        mode: OpenMode,
    ) -> Result<(), StateStoreError> {
        self.blocking(move |database| {
            let _preparing = database
                .preparing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            schema::prepare(&database.file, mode, database.busy_timeout)
                .map_err(|error| database.file.explain(error))?;
            database.is_ready.store(true, Ordering::Release);
            Ok(())
        })
        .await
    }

    /// Refuses calls on a database whose schema isn't whole; asks the file only until it is.
    pub(super) async fn ensure_ready(self: &Arc<Self>) -> Result<(), StateStoreError> {
        if !self.is_ready.load(Ordering::Acquire) {
            let lacks = self.schema().await?.lacks();
            if let Some(reason) = lacks {
                return Err(StateStoreError::NotInitialized { reason });
            }
            self.is_ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Names the operation in an error, and finds out whether the schema is behind it: another process may have reverted
    /// or migrated the database.
    pub(super) async fn explain<T>(
        self: &Arc<Self>,
        operation: &'static str,
        result: Result<T, StateStoreError>,
    ) -> Result<T, StateStoreError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => self.file.explain(error),
        };
        match &error {
            StateStoreError::NotInitialized { .. } | StateStoreError::NewerDatabase { .. } => {
                self.is_ready.store(false, Ordering::Release);
            }
            StateStoreError::DatabaseError(cause) if cause.lacks_schema() => {
                let found = self.schema().await;
                let reason = match found {
                    Ok(schema) => schema.lacks(),
                    Err(newer @ StateStoreError::NewerDatabase { .. }) => return Err(newer),
                    // The first error says more.
                    Err(_) => None,
                };
                if let Some(reason) = reason {
                    self.is_ready.store(false, Ordering::Release);
                    return Err(StateStoreError::NotInitialized { reason });
                }
            }
            _ => {}
        }
        Err(error.during(operation))
    }

    pub(super) async fn schema(self: &Arc<Self>) -> Result<Schema, StateStoreError> {
        self.blocking(|database| {
            schema::inspect(&database.file, database.busy_timeout)
                .map_err(|error| database.file.explain(error))
        })
        .await
    }

    /// Reverts the last migration, or only shows what would go; through the writer, so that no write of this process waits
    /// for a lock.
    pub(super) async fn revert(
        self: &Arc<Self>,
        operation: &'static str,
        keep: bool,
    ) -> Result<Revert, StateStoreError> {
        // A file that isn't ours is refused before the writer opens it.
        self.schema().await?;
        self.file.refuse_read_only()?;
        let database = Arc::clone(self);
        let work = move |_: &mut SqliteConnection, _: &mut CommitNotes| {
            let revert = schema::revert_last(&database.file, database.busy_timeout, keep)?;
            if keep {
                database.is_ready.store(false, Ordering::Release);
            }
            Ok(revert)
        };
        self.submit_outside_transaction(operation, work).await
    }

    /// Works on the search index, beside no write of this process.
    pub(super) async fn work_on_search_index(
        self: &Arc<Self>,
        operation: &'static str,
        task: SearchIndexTask,
    ) -> Result<(), StateStoreError> {
        // The check too is a writing statement.
        self.file.refuse_read_only()?;
        let database = Arc::clone(self);
        let work = move |_: &mut SqliteConnection, _: &mut CommitNotes| {
            let (file, timeout) = (&database.file, database.busy_timeout);
            match task {
                SearchIndexTask::Rebuild => {
                    search_index::rebuild(file, timeout)?;
                    let writer = &database.connections()?.writer;
                    writer.indexing().forget_failures();
                    Ok(())
                }
                SearchIndexTask::Check => search_index::check(file, timeout, database.indexer),
            }
        };
        self.submit_outside_transaction(operation, work).await
    }
}

impl OpenDatabase for Database {
    fn index_soon(self: Arc<Self>) {
        if let Ok(connections) = self.connections() {
            let writer = Arc::clone(&connections.writer);
            writer.index_soon(self);
        }
    }
}
