//! Stores on every database that there is, for what holds on each.

use std::ops::Deref;
use std::sync::Arc;

use descartes_state::{AnyStateStore, ManualClock, StoreOptions};
use tempfile::TempDir;

use crate::PostgresSchema;

/// An initialized store, and what lives as long as it does.
#[derive(Debug, Clone)]
pub struct Place {
    store: AnyStateStore,
    /// Where it isn't a temporary file of the store's own.
    _directory: Option<Arc<TempDir>>,
    schema: Option<Arc<PostgresSchema>>,
}

impl Place {
    /// Makes an empty store in a file.
    pub async fn in_file(options: StoreOptions) -> Self {
        let place = Self::new_file(options).await;
        place.initialize().await.unwrap();
        place
    }

    async fn new_file(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let store = AnyStateStore::open(path, options).await.unwrap();
        Self {
            store,
            _directory: Some(Arc::new(directory)),
            schema: None,
        }
    }

    /// Makes an empty store in a schema of its own on the server; `None` where there is none.
    pub async fn on_server(options: StoreOptions) -> Option<Self> {
        let place = Self::new_schema(options).await?;
        place.initialize().await.unwrap();
        Some(place)
    }

    async fn new_schema(options: StoreOptions) -> Option<Self> {
        let schema = PostgresSchema::new()?;
        let store = AnyStateStore::open(schema.url(), options).await.unwrap();
        Some(Self {
            store,
            _directory: None,
            schema: Some(Arc::new(schema)),
        })
    }

    /// Makes one on each database.
    pub async fn everywhere(options: StoreOptions) -> Vec<Self> {
        let mut places = vec![Self::in_file(options.clone()).await];
        places.extend(Self::on_server(options).await);
        places
    }

    /// Makes one on each database, each with a clock of its own that shows this time.
    pub async fn everywhere_at(seconds: i64) -> Vec<(Self, ManualClock)> {
        let clock = || {
            let clock = ManualClock::at_seconds(seconds);
            (StoreOptions::default().clock(clock.clone()), clock)
        };
        let (options, own) = clock();
        let mut places = vec![(Self::in_file(options).await, own)];
        let (options, own) = clock();
        places.extend(Self::on_server(options).await.map(|place| (place, own)));
        places
    }

    /// Makes one on each database that has no schema yet.
    pub async fn uninitialized() -> Vec<Self> {
        let mut places = vec![Self::new_file(StoreOptions::default()).await];
        places.extend(Self::new_schema(StoreOptions::default()).await);
        places
    }

    /// Opens another store on the same database.
    pub async fn open_again(&self, options: StoreOptions) -> AnyStateStore {
        let opened = match (self.store.path(), &self.schema) {
            (Some(path), _) => AnyStateStore::open(path, options).await,
            (None, schema) => AnyStateStore::open(schema.as_ref().unwrap().url(), options).await,
        };
        opened.unwrap()
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &AnyStateStore {
        &self.store
    }
}

impl Deref for Place {
    type Target = AnyStateStore;

    fn deref(&self) -> &AnyStateStore {
        &self.store
    }
}

impl From<Place> for AnyStateStore {
    fn from(place: Place) -> Self {
        place.store
    }
}

/// Runs an expression on the connection of a transaction, whichever database it is of.
#[macro_export]
macro_rules! on_connection {
    ($transaction:expr, |$connection:ident| $run:expr) => {
        if let Ok($connection) = $transaction.sqlite() {
            $run
        } else {
            let $connection = $transaction.postgres()?;
            $run
        }
    };
}
