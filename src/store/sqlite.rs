//! The store on SQLite.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deadpool_diesel::sqlite::Pool;
use tracing::Instrument;

use super::contract::contract;
use super::core::{Backend, StoreCore, operation_span};
use super::face::face;
use super::indexer::INDEXER;
use super::{Agents, Batch, Events, Migrations, Sessions, Snapshots, Tasks, Transitions, scope};
use crate::engine::{Handle, StoreOptions};
use crate::error::StateStoreError;
use crate::limits::Limits;
use crate::models::Scope;
use crate::repository::{ReadTransaction, Transaction};

face!(SqliteStateStore);
contract!(SqliteStateStore);

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
    handle: Arc<Handle>,
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
        Ok(Self::over(handle, scope))
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
        let store = Self::over(handle, scope);
        store.initialize().await?;
        Ok(store)
    }

    fn over(handle: Handle, scope: Scope) -> Self {
        let handle = Arc::new(handle);
        let backend = Backend::Sqlite(Arc::clone(&handle));
        Self {
            core: StoreCore::new(backend, scope),
            handle,
        }
    }

    pub(super) fn into_core(self) -> StoreCore {
        self.core
    }

    fn on(&self, core: StoreCore) -> Self {
        let handle = Arc::clone(&self.handle);
        Self { core, handle }
    }

    fn engine(&self) -> &Handle {
        &self.handle
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
}
