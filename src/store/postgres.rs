//! The store on PostgreSQL.

use std::fmt;
use std::sync::Arc;

use tracing::Instrument;

use super::contract::contract;
use super::core::{Backend, StoreCore, operation_span};
use super::face::face;
use super::{Agents, Batch, Events, Migrations, Sessions, Snapshots, Tasks, Transitions, scope};
use crate::engine::{StoreOptions, postgres::Handle};
use crate::error::StateStoreError;
use crate::limits::Limits;
use crate::models::Scope;
use crate::repository::{ReadTransaction, Transaction, postgres::settled_numbers};

face!(PostgresStateStore);
contract!(PostgresStateStore);

/// A state store on a PostgreSQL server, which any number of machines may share.
///
/// It has the methods of [`SqliteStateStore`](crate::SqliteStateStore), with the same types, and is cheap to clone.
///
/// # Cancellation
/// A write whose future is dropped either commits whole or never starts, and the connection is clean for the next
/// caller. A read leaves nothing behind. [`transact`](Self::transact) and [`read`](Self::read) run their closure to its
/// end once it has started.
#[derive(Clone)]
pub struct PostgresStateStore {
    core: StoreCore,
}

impl fmt::Debug for PostgresStateStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresStateStore")
            .field("address", &self.address())
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

impl PostgresStateStore {
    /// Connects to a server: `postgres://user@host/database?schema=name`. What the URL leaves out comes from the environment, as for
    /// every program on libpq (`PGHOST`, `PGPASSWORD`, `.pgpass`). The tables are in the `schema`, or in the first one of the server's
    /// `search_path`. Call [`initialize`](Self::initialize) next.
    ///
    /// Of the options those of connections (`readers`), timeouts, durability, mode, compression, limits and clock count; the others are
    /// about a file.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use descartes_state::{PostgresStateStore, StoreOptions};
    ///
    /// let store = PostgresStateStore::connect(
    ///     "postgres://agents@db.example/agents?schema=state",
    ///     StoreOptions::default(),
    /// )
    /// .await?;
    /// store.initialize().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for what is no such URL; `DatabaseError` where the server refuses the connection, or isn't there;
    /// `Unsupported` outside a tokio runtime.
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self, StateStoreError> {
        let scope = Scope {
            limits: options.limits.clone().without_nul(),
            ..scope(&options)
        };
        let handle = Handle::open(url, &options, settled_numbers)
            .instrument(operation_span("open"))
            .await
            .map_err(|error| error.during("open"))?;
        let backend = Backend::Postgres(Arc::new(handle), Arc::default());
        Ok(Self {
            core: StoreCore::new(backend, scope),
        })
    }

    pub(super) fn into_core(self) -> StoreCore {
        self.core
    }

    #[allow(clippy::unused_self)] // As the store on SQLite, which has more than its core.
    fn on(&self, core: StoreCore) -> Self {
        Self { core }
    }

    /// Returns where the server is, as the URL said it, without the password.
    #[must_use]
    pub fn address(&self) -> String {
        self.core.place()
    }
}
