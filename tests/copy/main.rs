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
    SnapshotFilter, StoreOptions, TaskFilter, TransitionFilter, page::Order,
};
use descartes_state_testing::{Place, assert_index_is_whole, connect, quick};

async fn in_file() -> Place {
    Place::in_file(quick()).await
}

async fn on_server() -> Option<Place> {
    Place::on_server(StoreOptions::default()).await
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

/// Makes sure that the search index of a file holds exactly the events.
fn assert_is_indexed(place: &Place) {
    if let Some(path) = place.path() {
        assert_index_is_whole(&mut connect(path));
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
