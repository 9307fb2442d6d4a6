//! What stands around the examples of the docs.

use descartes_state::{SqliteStateStore, StateStoreError};

/// Runs an example of the docs on a store of its own.
pub fn example(example: impl AsyncFnOnce(SqliteStateStore) -> Result<(), StateStoreError>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStateStore::temporary().await.unwrap();
        example(store.clone()).await.unwrap();
        store.close().await.unwrap();
    });
}
