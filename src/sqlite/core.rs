//! One database file in this process: its connections, shared by all stores on it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_diesel::sqlite::Pool;
use diesel::connection::SimpleConnection;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::checkpoints::Checkpoints;
use super::closure::CoreId;
use super::connect::{DatabaseFile, Identity, close_pool, pool};
use super::operation::{Shape, Traces};
use super::options::{Durability, OpenMode, StoreOptions};
use super::patience::Patience;
use super::readers::Readers;
use super::registry;
use super::threads::{current_or, on_blocking_pool};
use super::writer::{Finish, Submitter, WriteLane};
use crate::error::StateStoreError;
use crate::migrations::{self, Revert, Schema};

/// SQLite before this version loses committed frames when the WAL is reset (DESIGN, section 5).
const OLDEST_SQLITE: i32 = 3_051_003;

pub(super) struct Core {
    pub(super) id: CoreId,
    pub(super) file: DatabaseFile,
    pub(super) identity: Identity,
    pub(super) durability: Durability,
    pub(super) runtime: Handle,
    busy_timeout: Duration,
    is_ready: AtomicBool,
    /// Whether its connections are being closed, on whatever thread.
    is_closing: AtomicBool,
    /// The application's own pool; emptied with the connections, before this handle on it goes.
    pub(super) queries: Pool,
    /// Held while the schema is made whole.
    preparing: Mutex<()>,
    /// Taken only when the core is dropped.
    connections: Option<Connections>,
}

/// What has to be closed where that may take its time.
pub(super) struct Connections {
    pub(super) lane: Arc<WriteLane>,
    pub(super) readers: Arc<Readers>,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) queries: Pool,
    /// Of a temporary store; removed after the connections are closed.
    directory: Mutex<Option<TempDir>>,
}

impl Connections {
    /// Closes what nobody uses, on this thread, so that it is closed when this returns.
    pub(super) fn close(&self) {
        drop(self.lane.close());
        self.checkpoints.close();
        drop(self.readers.take_idle());
        close_pool(&self.queries);
        let directory = self
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Err(error)) = directory.map(TempDir::close) {
            tracing::warn!(%error, "a temporary store's directory could not be removed");
        }
    }
}

impl Core {
    pub(super) fn new(
        file: DatabaseFile,
        identity: Identity,
        options: &StoreOptions,
        runtime: Handle,
        finish: Finish,
        directory: Option<TempDir>,
    ) -> Result<Self, StateStoreError> {
        let patience = Arc::new(Patience::new(options.acquire_timeout, runtime.clone()));
        let checkpoints = Arc::new(Checkpoints::new(&file, options, runtime.clone()));
        let lane = WriteLane::new(
            &file,
            options,
            runtime.clone(),
            Arc::clone(&patience),
            Arc::clone(&checkpoints),
            finish,
        );
        let queries = pool(&file, options)?;
        Ok(Self {
            id: CoreId::new(),
            connections: Some(Connections {
                lane: Arc::new(lane),
                checkpoints,
                readers: Arc::new(Readers::new(&file, options, patience)),
                queries: queries.clone(),
                directory: Mutex::new(directory),
            }),
            file,
            identity,
            durability: options.durability,
            busy_timeout: options.busy_timeout,
            runtime,
            is_ready: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            queries,
            preparing: Mutex::new(()),
        })
    }

    pub(super) fn connections(&self) -> Result<&Connections, StateStoreError> {
        self.connections.as_ref().ok_or(StateStoreError::Closed)
    }

    pub(super) fn submitter(self: &Arc<Self>) -> Submitter {
        Submitter {
            core: self.id,
            _keep: Arc::clone(self) as Arc<dyn Send + Sync>,
        }
    }

    /// Runs blocking work on the runtime's blocking pool; the core lives until it is done.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StateStoreError> + Send + 'static,
    ) -> Result<T, StateStoreError> {
        let core = Arc::clone(self);
        on_blocking_pool(&current_or(&self.runtime), move || work(&core)).await
    }

    /// Makes the schema whole, or with `OpenMode::Existing` checks that it is.
    pub(super) async fn initialize(
        self: &Arc<Self>,
        mode: OpenMode,
    ) -> Result<(), StateStoreError> {
        self.blocking(move |core| {
            let _preparing = core
                .preparing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            prepare(&core.file, mode, core.busy_timeout)?;
            core.is_ready.store(true, Ordering::Release);
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

    pub(super) async fn schema(self: &Arc<Self>) -> Result<Schema, StateStoreError> {
        self.blocking(|core| inspect(&core.file, core.busy_timeout))
            .await
    }

    /// Reverts the last migration, or only shows what would go; in the lane, so that no write of this process waits for
    /// a lock.
    pub(super) async fn revert(
        self: &Arc<Self>,
        operation: &'static str,
        keep: bool,
    ) -> Result<Revert, StateStoreError> {
        // A file that isn't ours is refused before the lane opens it.
        self.schema().await?;
        let core = Arc::clone(self);
        let work = move |_: &mut diesel::SqliteConnection, _: &mut Traces| {
            inspect(&core.file, core.busy_timeout)?;
            let mut connection = core.file.connect("rw", core.busy_timeout)?;
            let revert = migrations::revert_last(&mut connection, keep)?;
            if keep {
                core.is_ready.store(false, Ordering::Release);
            }
            Ok(revert)
        };
        let lane = &self.connections()?.lane;
        lane.submit(operation, Shape::Bare, self.submitter(), work)
            .await
    }

    /// Checkpoints the WAL into the file, and closes every connection, unless a store has opened the file again. May be
    /// called again when it was dropped half-way.
    pub(super) async fn shut_down(self: &Arc<Self>) -> Result<(), StateStoreError> {
        let connections = self.connections()?;
        connections.readers.settle().await;
        let checkpoints = Arc::clone(&connections.checkpoints);
        // Without a runtime nothing is being moved.
        let _settled = self
            .blocking(move |_| {
                checkpoints.settle();
                Ok(())
            })
            .await;
        // One that was dropped may be closing the connections now: the lane must not open another.
        let is_closing = self.is_closing.load(Ordering::Acquire);
        let checkpointed = if self.is_ready.load(Ordering::Acquire) && !is_closing {
            let checkpoint = |connection: &mut diesel::SqliteConnection, _: &mut Traces| {
                Ok(connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);")?)
            };
            let lane = &connections.lane;
            lane.submit("close", Shape::Bare, self.submitter(), checkpoint)
                .await
        } else {
            Ok(())
        };
        self.is_closing.store(true, Ordering::Release);
        let closing = Closing(Arc::clone(self));
        let closed = self
            .blocking(move |_| {
                drop(closing);
                Ok(())
            })
            .await;
        match checkpointed.and(closed) {
            // The runtime is gone: the connections were closed on this thread, the last with a checkpoint of its own.
            Err(StateStoreError::Closed) => Ok(()),
            result => result,
        }
    }
}

/// Closes the core's connections when it is dropped, also by a runtime that refuses to run it.
struct Closing(Arc<Core>);

impl Drop for Closing {
    fn drop(&mut self) {
        // deadpool's pool asks for one.
        let _inside = self.0.runtime.enter();
        let is_closed = registry::close_unused(&self.0);
        self.0.is_closing.store(is_closed, Ordering::Release);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.take() {
            registry::bury(self, connections);
        }
    }
}

/// Reads what a database is without changing a byte of it, and without leaving anything beside it.
fn inspect(file: &DatabaseFile, busy_timeout: Duration) -> Result<Schema, StateStoreError> {
    let has_log = ["-wal", "-journal"].into_iter().any(|suffix| {
        let mut path = file.path().as_os_str().to_owned();
        path.push(suffix);
        Path::new(&path).exists()
    });
    // Closing a connection that may write moves a log into the file, and takes the log away. One that may not leaves a
    // log that was there, but where there was none it makes one and leaves it.
    let [first, second] = if has_log { ["ro", "rw"] } else { ["rw", "ro"] };
    let look = |mode| {
        file.connect(mode, busy_timeout)
            .and_then(|mut connection| migrations::inspect(&mut connection))
    };
    match look(first) {
        // A journal that a crash left behind can only be rolled back by somebody who may write.
        Err(StateStoreError::DatabaseError(_)) => look(second),
        other => other,
    }
}

fn prepare(
    file: &DatabaseFile,
    mode: OpenMode,
    busy_timeout: Duration,
) -> Result<(), StateStoreError> {
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
        #[allow(clippy::disallowed_methods)]
        // Nothing tells when another process lets go of the lock.
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
