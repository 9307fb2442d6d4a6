//! A store on whichever database its place names.

use std::fmt;

use super::contract::contract;
use super::core::StoreCore;
use super::face::face;
use super::{
    Agents, Batch, Events, Migrations, Sessions, Snapshots, SqliteStateStore, Tasks, Transitions,
};
use crate::engine::StoreOptions;
use crate::error::StateStoreError;
use crate::limits::Limits;
use crate::repository::{ReadTransaction, Transaction};

face!(AnyStateStore);
contract!(AnyStateStore);

/// A state store on SQLite or on PostgreSQL: a program that has one runs on both.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use descartes_state::{AnyStateStore, StoreOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # std::env::set_current_dir(&directory)?;
/// let place = std::env::var("STATE").unwrap_or("state.db".to_string());
/// let store = AnyStateStore::open(&place, StoreOptions::default()).await?;
/// store.initialize().await?;
/// assert_eq!(store.list_agents().await?.len(), 0);
/// # store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AnyStateStore {
    core: StoreCore,
}

impl fmt::Debug for AnyStateStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnyStateStore")
            .field("place", &self.place())
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

impl AnyStateStore {
    /// Opens a store on a file, or connects to the server of a `postgres://` URL.
    ///
    /// # Errors
    /// Those of [`SqliteStateStore::open`] and [`PostgresStateStore::connect`](crate::PostgresStateStore::connect); `Unsupported` for
    /// a URL where the feature `postgres` is off.
    pub async fn open(place: &str, options: StoreOptions) -> Result<Self, StateStoreError> {
        if place.starts_with("postgres://") || place.starts_with("postgresql://") {
            #[cfg(feature = "postgres")]
            return Ok(super::PostgresStateStore::connect(place, options)
                .await?
                .into());
            #[cfg(not(feature = "postgres"))]
            return Err(StateStoreError::Unsupported {
                reason: "this program was built without PostgreSQL: build it with descartes-state's feature `postgres`"
                    .into(),
            });
        }
        Ok(SqliteStateStore::open(place, options).await?.into())
    }

    /// Returns where the data are: a path, or a URL without its password.
    #[must_use]
    pub fn place(&self) -> String {
        self.core.place()
    }

    #[allow(clippy::unused_self)] // As the store on SQLite, which has more than its core.
    fn on(&self, core: StoreCore) -> Self {
        Self { core }
    }
}

impl From<SqliteStateStore> for AnyStateStore {
    fn from(store: SqliteStateStore) -> Self {
        Self {
            core: store.into_core(),
        }
    }
}

#[cfg(feature = "postgres")]
impl From<super::PostgresStateStore> for AnyStateStore {
    fn from(store: super::PostgresStateStore) -> Self {
        Self {
            core: store.into_core(),
        }
    }
}
