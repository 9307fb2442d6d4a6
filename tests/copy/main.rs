//! Copies between stores, on every pair of databases: what is copied is the same, goes on where it was, and mixes with nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]
#![cfg(feature = "postgres")]

mod ending;
mod refused;
mod whole;

use descartes_state::error::ErrorKind;
use descartes_state::{
    AgentFilter, AnyStateStore, CopyReport, EventFilter, PageRequest, SessionFilter,
    SnapshotFilter, SqliteStateStore, StoreOptions, TaskFilter, TransitionFilter, page::Order,
};
use descartes_state_testing::{PostgresSchema, assert_index_is_whole, connect, quick};

/// A store, and what has to live as long as it does.
struct Place {
    store: AnyStateStore,
    directory: Option<tempfile::TempDir>,
    _schema: Option<PostgresSchema>,
}

/// An empty store in a file.
async fn in_file() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::open(path, quick()).await.unwrap();
    store.initialize().await.unwrap();
    Place {
        store: store.into(),
        directory: Some(directory),
        _schema: None,
    }
}

/// An empty store on the server, if there is one.
async fn on_server() -> Option<Place> {
    let schema = PostgresSchema::new()?;
    let store = schema.open(StoreOptions::default()).await;
    Some(Place {
        store: store.into(),
        directory: None,
        _schema: Some(schema),
    })
}

/// Every pair of databases that there is.
async fn pairs() -> Vec<(Place, Place)> {
    let mut pairs = vec![(in_file().await, in_file().await)];
    if let Some(server) = on_server().await {
        pairs.push((in_file().await, server));
        pairs.push((on_server().await.unwrap(), in_file().await));
        let both = (on_server().await.unwrap(), on_server().await.unwrap());
        pairs.push(both);
    }
    pairs
}

impl Place {
    /// Makes sure that the search index of a file holds exactly the events.
    fn assert_index_is_whole(&self) {
        if let Some(directory) = &self.directory {
            assert_index_is_whole(&mut connect(&directory.path().join("state.db")));
        }
    }
}

/// Everything that a prefix has, as text.
async fn everything(store: &AnyStateStore, prefix: &str) -> Vec<String> {
    let store = store.with_prefix(prefix);
    let page = PageRequest::new(10_000).order(Order::Ascending);
    let agents = AgentFilter::default().include_deleted();
    let mut all = Vec::new();
    macro_rules! add {
        ($list:expr) => {{
            let page = $list.await.unwrap();
            assert!(page.omitted.is_empty());
            all.extend(page.items.iter().map(|item| format!("{item:?}")));
        }};
    }
    add!(store.agents().list(&agents, &page));
    let tasks = TaskFilter::default().include_deleted();
    add!(store.tasks().list(&tasks, &page));
    let sessions = SessionFilter::default().include_deleted();
    add!(store.sessions().list(&sessions, &page));
    add!(
        store
            .transitions()
            .list(&TransitionFilter::default(), &page)
    );
    add!(store.snapshots().list(&SnapshotFilter::default(), &page));
    add!(store.events().list(&EventFilter::default(), &page));
    all
}

fn copied(report: &CopyReport, table: &str) -> (u64, u64) {
    let table = report.tables.iter().find(|copy| copy.table == table);
    table.map(|copy| (copy.rows, copy.copied)).unwrap()
}

fn kind<T: std::fmt::Debug>(result: &Result<T, descartes_state::StateStoreError>) -> ErrorKind {
    result.as_ref().unwrap_err().kind()
}
