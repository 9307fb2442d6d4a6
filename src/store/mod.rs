//! `SqliteStateStore` and its aggregate handles.
//!
//! Each method checks and encodes its input on the caller's thread, and leaves the rest to the engine's writer or readers.
//! What it does there is the repository's.

mod agents;
mod batch;
mod contract;
mod core;
mod events;
mod handle;
mod indexer;
mod migrations;
mod sessions;
mod snapshots;
mod tasks;
mod transitions;

pub use agents::Agents;
pub use batch::{
    AgentBatch, Batch, BatchResults, BatchTicket, EventBatch, PrefixedBatch, SessionBatch,
    SnapshotBatch, TaskBatch, TransitionBatch,
};
pub(crate) use core::StoreCore;
pub use events::Events;
pub use migrations::Migrations;
pub use sessions::Sessions;
pub use snapshots::Snapshots;
pub use tasks::Tasks;
pub use transitions::Transitions;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_diesel::sqlite::Pool;
use tracing::Instrument;

use self::core::{Backend, operation_span};
use crate::engine::{Handle, StoreOptions};
use crate::error::StateStoreError;
use crate::limits::Limits;
use crate::models::Scope;
use crate::namespace::Namespace;
use crate::repository::{ReadTransaction, Transaction};
use indexer::INDEXER;

/// A state store in one SQLite file.
///
/// It is cheap to clone, and clones share everything. Stores that are opened on one file in one process share their
/// connections too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use descartes_state::{AgentState, SqliteStateStore};
///
/// let store = SqliteStateStore::temporary().await?;
/// store
///     .save_agent_state(&AgentState {
///         agent_id: "agent_001".to_string(),
///         name: "MyWorkerAgent".to_string(),
///         status: "running".to_string(),
///         metadata: serde_json::json!({ "type": "worker" }),
///         state_data: "{}".to_string(),
///         created_at: 1_763_856_000,
///         updated_at: 1_763_856_000,
///         version: 1,
///     })
///     .await?;
/// assert_eq!(store.list_agents().await?.len(), 1);
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
/// A write whose future is dropped either commits whole or never starts, and the connection is clean for the next
/// caller. A read leaves nothing behind. [`transact`](Self::transact) and [`read`](Self::read) run their closure to its
/// end once it has started.
///
/// # Runtimes
/// Open a store inside a tokio runtime with its time driver enabled (`enable_all`), of either flavor; the store works
/// from a `LocalSet` and from `spawn_blocking` with `Handle::block_on` too. It may be dropped anywhere.
#[derive(Clone)]
pub struct SqliteStateStore {
    core: StoreCore,
}

impl fmt::Debug for SqliteStateStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SqliteStateStore")
            .field("path", &self.path())
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

impl SqliteStateStore {
    /// Opens a store on a file, which is created with its directories where it doesn't exist. `compression` is whether
    /// states above 1 KiB are stored as zstd. Call [`initialize`](Self::initialize) next.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is empty, a symbolic link, or no file name; `DatabaseError` where the file can't
    /// be created; `Unsupported` outside a tokio runtime.
    pub async fn new(path: impl AsRef<Path>, compression: bool) -> Result<Self, StateStoreError> {
        Self::open(path, StoreOptions::default().compression(compression)).await
    }

    /// Opens a store on a file, with these options.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `InvalidInput` for options that can't be.
    pub async fn open(
        path: impl AsRef<Path>,
        options: StoreOptions,
    ) -> Result<Self, StateStoreError> {
        let path: PathBuf = path.as_ref().to_owned();
        let scope = scope(&options);
        let handle = Handle::open(path, options, &INDEXER)
            .instrument(operation_span("open"))
            .await?;
        Ok(Self::on(handle, scope))
    }

    /// Opens an initialized store for tests, in a private directory that goes when the last clone is dropped. Otherwise it
    /// is like any other.
    ///
    /// # Errors
    /// `Unsupported` where there is no room for temporary files.
    pub async fn temporary() -> Result<Self, StateStoreError> {
        Self::temporary_with(StoreOptions::default()).await
    }

    /// As [`temporary`](Self::temporary), with these options.
    ///
    /// # Errors
    /// As [`temporary`](Self::temporary), and `InvalidInput` for options that can't be.
    pub async fn temporary_with(options: StoreOptions) -> Result<Self, StateStoreError> {
        let scope = scope(&options);
        let handle = Handle::temporary(options, &INDEXER)
            .instrument(operation_span("open"))
            .await?;
        let store = Self::on(handle, scope);
        store.initialize().await?;
        Ok(store)
    }

    fn on(handle: Handle, scope: Scope) -> Self {
        let backend = Backend::Sqlite(Arc::new(handle));
        Self {
            core: StoreCore::new(backend, scope),
        }
    }

    fn engine(&self) -> &Handle {
        let Backend::Sqlite(handle) = &self.core.backend;
        handle
    }

    /// Returns a handle on the same store that sees only what was written under this prefix, and writes under it. It
    /// replaces the prefix that this handle has; "" means none.
    ///
    /// A prefix with a NUL character or above 255 bytes makes a handle whose every call is `InvalidInput`;
    /// [`try_with_prefix`](Self::try_with_prefix) says so at once.
    #[must_use]
    pub fn with_prefix(&self, prefix: impl Into<String>) -> Self {
        Self {
            core: self.core.with_prefix(&prefix.into()),
        }
    }

    /// As [`with_prefix`](Self::with_prefix), for prefixes that may be illegal.
    ///
    /// # Errors
    /// `InvalidInput` for a prefix with a NUL character or above 255 bytes.
    pub fn try_with_prefix(&self, prefix: &str) -> Result<Self, StateStoreError> {
        Ok(Self {
            core: self.core.try_with_prefix(prefix)?,
        })
    }

    /// Returns the limits of the store, as its options set them.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.core.settings().limits
    }

    /// Returns the prefix of this handle; "" for none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.core.prefix()
    }

    /// Returns the database file, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.engine().path()
    }

    /// Returns whether the store can only be read: file, log or directory can't be written by this process. It is told when
    /// the store is opened; every write is [`ReadOnly`](StateStoreError::ReadOnly) then.
    ///
    /// Where no log lies beside such a file, each read makes sure that nobody has changed the file meanwhile, and begins
    /// again where somebody has; after the third time it is [`Busy`](StateStoreError::Busy), a closure of
    /// [`read`](Self::read) after the first.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.engine().is_read_only()
    }

    /// Returns a second pool of connections to the same file, for queries of your own. They are read-only (`query_only`)
    /// and see every prefix; write through [`transact`](Self::transact). After closing, it has none.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.engine().pool()
    }

    /// Returns an empty batch of writes, under this handle's prefix, that are committed all or nothing.
    pub fn batch(&self) -> Batch {
        Batch::new(&self.core)
    }

    /// Returns the handle on the states of agents.
    #[must_use]
    pub fn agents(&self) -> Agents<'_> {
        Agents::new(&self.core)
    }

    /// Returns the handle on the transitions of agents' states.
    #[must_use]
    pub fn transitions(&self) -> Transitions<'_> {
        Transitions::new(&self.core)
    }

    /// Returns the handle on the snapshots of agents' states.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots::new(&self.core)
    }

    /// Returns the handle on the events.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.core)
    }

    /// Returns the handle on the tasks.
    #[must_use]
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks::new(&self.core)
    }

    /// Returns the handle on the sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(&self.core)
    }

    /// Returns the handle on the migrations of the database.
    #[must_use]
    pub fn migrations(&self) -> Migrations<'_> {
        Migrations::new(&self.core)
    }

    /// Runs a closure in a write transaction of its own, on the runtime's blocking pool. What it wrote is committed
    /// whole when it returns `Ok`, and rolled back when it returns `Err` or panics.
    ///
    /// Other writers wait meanwhile, so keep it short. The guide's closure receives nothing, and so could never have
    /// rolled anything back; this one receives the transaction.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = descartes_state::SqliteStateStore::temporary().await?;
    /// use descartes_state::TransitionDraft;
    ///
    /// let seq = store
    ///     .transact(|tx| tx.transitions().record(&TransitionDraft::new("agent_001", "{}", "{}")))
    ///     .await?;
    /// assert_eq!(seq.get(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The closure's own; `Panicked`; `TransactionEscaped` where it ended the transaction by raw SQL.
    pub async fn transact<T, F>(&self, work: F) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        self.core.transact("transact", work).await
    }

    /// As [`transact`](Self::transact), for a closure with an error type of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = descartes_state::SqliteStateStore::temporary().await?;
    /// use descartes_state::StateStoreError;
    ///
    /// #[derive(Debug)]
    /// enum Failure {
    ///     TooLate,
    ///     Store(StateStoreError),
    /// }
    /// impl From<StateStoreError> for Failure {
    ///     fn from(error: StateStoreError) -> Self {
    ///         Self::Store(error)
    ///     }
    /// }
    ///
    /// let result: Result<(), Failure> = store.try_transact(|_| Err(Failure::TooLate)).await;
    /// assert!(matches!(result, Err(Failure::TooLate)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The closure's own, or the store's as `E`.
    pub async fn try_transact<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StateStoreError> + Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        let own = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&own);
        let result = self
            .transact(move |transaction| {
                work(transaction).map_err(|error| {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    StateStoreError::application("the closure's own error")
                })
            })
            .await;
        match result {
            Ok(value) => Ok(value),
            Err(StateStoreError::Application(source)) => {
                let own = own.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(own.unwrap_or_else(|| StateStoreError::Application(source).into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a closure in a read transaction of its own, on the runtime's blocking pool: all that it reads is one
    /// snapshot of the database. It waits for no writer, and no writer for it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = descartes_state::SqliteStateStore::temporary().await?;
    /// use descartes_state::diesel::prelude::*;
    /// use descartes_state::schema::events;
    ///
    /// let rows: i64 = store
    ///     .read(|tx| Ok(events::table.count().get_result(tx.sqlite()?)?))
    ///     .await?;
    /// assert_eq!(rows, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The closure's own; `DatabaseError` where it writes; `Panicked`; `TransactionEscaped`.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut ReadTransaction<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        self.core.read_closure(work).await
    }

    /// Refuses new calls, waits for those in flight, and, where no other store has the file open in this process, moves
    /// the write-ahead log into the file and closes every connection. Clones and prefixed handles are closed with it.
    ///
    /// # Errors
    /// `Reentrant` from inside a closure of the store. Closing again is `Ok`.
    pub async fn close(&self) -> Result<(), StateStoreError> {
        self.engine()
            .close()
            .instrument(operation_span("close"))
            .await
    }

    async fn make_ready(&self) -> Result<(), StateStoreError> {
        self.core.scope()?;
        self.engine()
            .initialize()
            .instrument(operation_span("initialize"))
            .await
    }
}

fn scope(options: &StoreOptions) -> Scope {
    Scope {
        namespace: Namespace::default(),
        limits: options.limits.clone(),
        compression: options.compression,
        clock: options.clock.clone(),
    }
}
