//! One database file in this process: found again by device and inode, and shared by all stores on it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use deadpool_diesel::sqlite::Pool;
use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::closure::{caught, refuse_reentry};
use super::connect::{DatabaseFile, Identity, Role, pool};
use super::held::Held;
use super::options::{Durability, OpenMode, StoreOptions};
use super::readers::Readers;
use super::writer::{Finish, Shape, WriteLane};
use crate::error::StateStoreError;
use crate::migrations::{self, Revert, Schema};

/// SQLite before this version loses committed frames when the WAL is reset (DESIGN, section 5).
const OLDEST_SQLITE: i32 = 3_051_003;

/// The cores that are open, and how many stores each has.
static OPEN: Mutex<Option<HashMap<Identity, Entry>>> = Mutex::new(None);

struct Entry {
    core: Weak<Core>,
    stores: usize,
}

/// Held while a file is located, created or prepared: no file is created twice, none is closed while SQLite opens it.
static CREATION: Mutex<()> = Mutex::new(());

pub(crate) struct Core {
    file: DatabaseFile,
    identity: Identity,
    durability: Durability,
    busy_timeout: Duration,
    runtime: Handle,
    is_ready: AtomicBool,
    connections: Option<Connections>,
}

/// What has to be dropped inside a runtime.
struct Connections {
    lane: Arc<WriteLane>,
    readers: Arc<Readers>,
    queries: Pool,
}

impl Core {
    fn new(
        file: DatabaseFile,
        identity: Identity,
        options: &StoreOptions,
        runtime: Handle,
        finish: Finish,
    ) -> Result<Self, StateStoreError> {
        Ok(Self {
            connections: Some(Connections {
                lane: Arc::new(WriteLane::new(&file, options, runtime.clone(), finish)?),
                readers: Arc::new(Readers::new(&file, options)?),
                queries: pool(&file, Role::Reader, options.readers, options)?,
            }),
            file,
            identity,
            durability: options.durability,
            busy_timeout: options.busy_timeout,
            runtime,
            is_ready: AtomicBool::new(false),
        })
    }

    fn connections(&self) -> Result<&Connections, StateStoreError> {
        self.connections.as_ref().ok_or(StateStoreError::Closed)
    }

    /// Names the core, for the mark that a running closure leaves on its thread.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Runs blocking work on the runtime's blocking pool.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StateStoreError> + Send + 'static,
    ) -> Result<T, StateStoreError> {
        let runtime = Handle::try_current().unwrap_or_else(|_| self.runtime.clone());
        on_blocking_pool(&runtime, work).await
    }

    /// Makes the schema whole, or with `OpenMode::Existing` checks that it is.
    async fn initialize(&self, mode: OpenMode) -> Result<(), StateStoreError> {
        let file = self.file.clone();
        let busy_timeout = self.busy_timeout;
        self.blocking(move || prepare(&file, mode, busy_timeout))
            .await?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Refuses calls on a database whose schema isn't whole; asks the file only until it is.
    async fn ensure_ready(&self) -> Result<(), StateStoreError> {
        if !self.is_ready.load(Ordering::Acquire) {
            let lacks = self.schema().await?.lacks();
            if let Some(reason) = lacks {
                return Err(StateStoreError::NotInitialized { reason });
            }
            self.is_ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    async fn schema(&self) -> Result<Schema, StateStoreError> {
        let file = self.file.clone();
        let busy_timeout = self.busy_timeout;
        self.blocking(move || inspect(&file, busy_timeout)).await
    }

    /// Checkpoints the WAL into the file, and closes every connection, each on a blocking thread.
    async fn shut_down(&self) -> Result<(), StateStoreError> {
        let connections = self.connections()?;
        let mut held = connections.readers.drain().await;
        if self.is_ready.load(Ordering::Acquire) {
            connections
                .lane
                .submit("close", Shape::Bare, self.address(), |connection, _| {
                    Ok(connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);")?)
                })
                .await?;
        }
        held.extend(connections.lane.close());
        connections.queries.close();
        self.blocking(move || {
            held.into_iter().for_each(Held::close);
            Ok(())
        })
        .await
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // deadpool closes connections through the current runtime, and panics where there is none.
        let _inside = self.runtime.enter();
        if let Some(connections) = self.connections.take() {
            drop(connections.readers.take_idle());
            drop(connections);
        }
    }
}

async fn on_blocking_pool<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, StateStoreError> + Send + 'static,
) -> Result<T, StateStoreError> {
    let span = tracing::Span::current();
    // A panic is caught inside; what is left is a runtime that is shutting down.
    runtime
        .spawn_blocking(move || span.in_scope(|| caught(work)))
        .await
        .unwrap_or(Err(StateStoreError::Closed))
}

/// Reads what a database is without changing a byte of it.
fn inspect(file: &DatabaseFile, busy_timeout: Duration) -> Result<Schema, StateStoreError> {
    let read_only = file
        .connect("ro", busy_timeout)
        .and_then(|mut connection| migrations::inspect(&mut connection));
    match read_only {
        // A journal that a crash left behind can only be rolled back by somebody who may write.
        Err(StateStoreError::DatabaseError(_)) => {
            let mut connection = file.connect("rw", busy_timeout)?;
            migrations::inspect(&mut connection)
        }
        other => other,
    }
}

fn prepare(
    file: &DatabaseFile,
    mode: OpenMode,
    busy_timeout: Duration,
) -> Result<(), StateStoreError> {
    let _creation = lock(&CREATION);
    require_sqlite()?;
    let schema = inspect(file, busy_timeout)?;
    if mode == OpenMode::Existing {
        return match schema.lacks() {
            Some(reason) => Err(StateStoreError::NotInitialized { reason }),
            None => Ok(()),
        };
    }
    file.mend_mode()?;
    let mut connection = file.connect("rw", busy_timeout)?;
    let deadline = Instant::now() + busy_timeout;
    while let Err(error) = migrations::prepare_file(&mut connection, schema.is_empty()) {
        // Changing the journal mode doesn't always wait for the lock.
        if !matches!(error, StateStoreError::Busy { .. }) || Instant::now() > deadline {
            return Err(error.during("initialize"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if schema.lacks().is_some() {
        migrations::run(&mut connection)?;
    }
    Ok(())
}

fn require_sqlite() -> Result<(), StateStoreError> {
    let version = libsqlite3_sys::SQLITE_VERSION_NUMBER;
    if version < OLDEST_SQLITE {
        return Err(StateStoreError::Unsupported {
            reason: format!("SQLite {version} loses data; build with the bundled one"),
        });
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One store's hold on a core: what `open` gives. Clones of the store share it.
pub(crate) struct Attachment {
    core: Arc<Core>,
    mode: OpenMode,
    /// Each call in flight holds one permit; closing takes them all.
    calls: Semaphore,
    is_detached: AtomicBool,
    /// Removed when the store goes, after the core.
    _directory: Option<tempfile::TempDir>,
}

const CALLS: u32 = 1 << 28;

impl Attachment {
    /// Opens the file, or joins those that have it open in this process.
    pub(crate) async fn open(
        path: PathBuf,
        options: StoreOptions,
        finish: Finish,
    ) -> Result<Self, StateStoreError> {
        options.check()?;
        Self::attach(path, options, finish, None).await
    }

    /// Opens a file in a private directory that goes with the store.
    pub(crate) async fn temporary(
        options: StoreOptions,
        finish: Finish,
    ) -> Result<Self, StateStoreError> {
        options.check()?;
        let directory = tempfile::Builder::new()
            .prefix("descartes-state-")
            .tempdir()
            .map_err(|error| StateStoreError::Unsupported {
                reason: format!("no temporary directory: {error}"),
            })?;
        let path = directory.path().join("state.db");
        Self::attach(path, options, finish, Some(directory)).await
    }

    async fn attach(
        path: PathBuf,
        options: StoreOptions,
        finish: Finish,
        directory: Option<tempfile::TempDir>,
    ) -> Result<Self, StateStoreError> {
        let runtime = Handle::try_current().map_err(|_| StateStoreError::Unsupported {
            reason: "a store is opened inside a tokio runtime".into(),
        })?;
        let mode = options.mode;
        let handle = runtime.clone();
        let core =
            on_blocking_pool(&runtime, move || join(&path, &options, handle, finish)).await?;
        Ok(Self {
            core,
            mode,
            calls: Semaphore::new(CALLS as usize),
            is_detached: AtomicBool::new(false),
            _directory: directory,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.core.file.path()
    }

    /// The second pool, for the application's own queries; read-only.
    pub(crate) fn queries(&self) -> Result<&Pool, StateStoreError> {
        Ok(&self.core.connections()?.queries)
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
        let (file, busy_timeout) = (self.core.file.clone(), self.core.busy_timeout);
        let revert = self.core.blocking(move || {
            inspect(&file, busy_timeout)?;
            let mut connection = file.connect("rw", busy_timeout)?;
            migrations::revert_last(&mut connection, keep)
        });
        let revert = revert.await?;
        if keep {
            self.core.is_ready.store(false, Ordering::Release);
        }
        Ok(revert)
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
        if is_short {
            if let Some(reader) = readers.at_once() {
                match reader.run(false, &mut work) {
                    // This thread may not wait for the lock; one of the blocking pool may.
                    Err(StateStoreError::Busy { .. }) => {}
                    result => {
                        tokio::task::consume_budget().await;
                        return result.map_err(|error| error.during(operation));
                    }
                }
            }
        }
        let reader = readers.acquire(operation).await?;
        self.core
            .blocking(move || reader.run(true, &mut work))
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
        F: FnOnce(&mut SqliteConnection) -> Result<T, StateStoreError> + Send + 'static,
    {
        let _call = self.enter(operation)?;
        self.core.ensure_ready().await?;
        let reader = self.core.connections()?.readers.acquire(operation).await?;
        let core = self.core.address();
        self.core
            .blocking(move || reader.run_closure(core, work))
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
        F: FnMut(&mut SqliteConnection, &mut bool) -> Result<T, StateStoreError> + Send + 'static,
    {
        let _call = self.enter(operation)?;
        self.core.ensure_ready().await?;
        let lane = &self.core.connections()?.lane;
        lane.submit(operation, shape, self.core.address(), work)
            .await
    }

    /// Refuses new calls, waits for those in flight, and closes the core if no other store uses it.
    pub(crate) async fn close(&self) -> Result<(), StateStoreError> {
        refuse_reentry(self.core.address(), "close")?;
        let all = self.calls.acquire_many(CALLS).await;
        self.calls.close();
        drop(all);
        if self.detach() {
            return self.core.shut_down().await;
        }
        Ok(())
    }

    fn enter(
        &self,
        operation: &'static str,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, StateStoreError> {
        refuse_reentry(self.core.address(), operation)?;
        self.calls
            .try_acquire()
            .map_err(|_| StateStoreError::Closed)
    }

    /// Leaves the core; true for the last store to do so.
    fn detach(&self) -> bool {
        if self.is_detached.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut open = lock(&OPEN);
        let Some(cores) = open.as_mut() else {
            return true;
        };
        match cores.get_mut(&self.core.identity) {
            Some(entry) if entry.stores > 1 => {
                entry.stores -= 1;
                false
            }
            _ => {
                cores.remove(&self.core.identity);
                true
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Finds the core of the file, or makes it.
fn join(
    path: &Path,
    options: &StoreOptions,
    runtime: Handle,
    finish: Finish,
) -> Result<Arc<Core>, StateStoreError> {
    let _creation = lock(&CREATION);
    let file = DatabaseFile::locate(path, options.mode)?;
    let identity = file.identity()?;
    let mut open = lock(&OPEN);
    let cores = open.get_or_insert_with(HashMap::new);
    if let Some(entry) = cores.get_mut(&identity) {
        if let Some(core) = entry.core.upgrade() {
            if core.durability == Durability::Relaxed && options.durability == Durability::Full {
                return Err(StateStoreError::invalid(
                    "options",
                    "the file is open in this process with relaxed durability: close that store first",
                ));
            }
            entry.stores += 1;
            return Ok(core);
        }
    }
    let core = Arc::new(Core::new(file, identity.clone(), options, runtime, finish)?);
    let entry = Entry {
        core: Arc::downgrade(&core),
        stores: 1,
    };
    cores.insert(identity, entry);
    Ok(core)
}
