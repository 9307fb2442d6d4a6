//! Migrations: every step up, down and up with rows in every table; several processes at once; files that aren't ours.

mod files;
mod fingerprints;
mod guards;
mod history;
mod processes;
mod steps;

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
    descartes_state_testing::populate(&store).await;
    store
}
