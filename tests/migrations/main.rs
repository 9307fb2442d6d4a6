//! Migrations: every step up, down and up with rows in every table; several processes at once; files that aren't ours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod files;
mod guards;
mod history;
mod processes;
mod steps;
#[path = "../support_schema/mod.rs"]
mod support_schema;

use std::path::Path;

use descartes_state::SqliteStateStore;

/// A store on this file, not initialized.
async fn open(path: &Path) -> SqliteStateStore {
    SqliteStateStore::new(path, false).await.unwrap()
}

/// A store on this file, initialized and with rows in every table.
async fn populated(path: &Path) -> SqliteStateStore {
    let store = open(path).await;
    store.initialize().await.unwrap();
    support_schema::populate(&store).await;
    store
}
