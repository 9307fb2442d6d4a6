//! A store on whichever database its place names.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

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
    /// Opens a store on a file, or connects to the server of a `postgres://` or `postgresql://` URL.
    ///
    /// # Errors
    /// Those of [`SqliteStateStore::open`] and [`PostgresStateStore::connect`](crate::PostgresStateStore::connect); `Unsupported` for
    /// a URL where the feature `postgres` is off.
    pub async fn open(
        place: impl AsRef<OsStr>,
        options: StoreOptions,
    ) -> Result<Self, StateStoreError> {
        match url_of(place.as_ref()) {
            #[cfg(feature = "postgres")]
            Some(url) => {
                let store = super::PostgresStateStore::connect(&url, options).await?;
                Ok(store.into())
            }
            #[cfg(not(feature = "postgres"))]
            Some(_) => Err(StateStoreError::Unsupported {
                reason: "this program was built without PostgreSQL: build it with the feature `postgres`".into(),
            }),
            None => {
                let path = Path::new(place.as_ref());
                Ok(SqliteStateStore::open(path, options).await?.into())
            }
        }
    }

    /// Returns whether [`open`](Self::open) takes a place for a server's URL, and not for a file.
    #[must_use]
    pub fn is_url(place: impl AsRef<OsStr>) -> bool {
        url_of(place.as_ref()).is_some()
    }

    /// Returns the database file, as an absolute path; `None` on a server.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.core.path()
    }

    /// Returns where the data are: a path, or a URL without its password.
    #[must_use]
    pub fn place(&self) -> String {
        self.core.place()
    }

    pub(super) fn core(&self) -> &StoreCore {
        &self.core
    }

    #[allow(clippy::unused_self)] // As the store on SQLite, which has more than its core.
    fn on(&self, core: StoreCore) -> Self {
        Self { core }
    }
}

/// Returns a place that is a URL, as text; of whatever scheme, so that one that is mistyped is refused, and makes no file with
/// its password in the name.
fn url_of(place: &OsStr) -> Option<Cow<'_, str>> {
    let text = place.to_string_lossy();
    text.contains("://").then_some(text)
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
