//! What holds on PostgreSQL beside the contract: many writers at once, readers that follow, a server that goes away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]
#![cfg(feature = "postgres")]

mod closing;
mod closures;
mod followers;
mod ledger;
mod plans;
mod pooled;
mod schema;
mod server;
mod shared;
mod text;
mod tls;
mod writers;

use descartes_state::{PostgresStateStore, StoreOptions};
use descartes_state_testing::PostgresSchema;

/// Opens a store in a schema of its own; `None` where there is no server.
async fn open() -> Option<(PostgresSchema, PostgresStateStore)> {
    open_with(StoreOptions::default()).await
}

async fn open_with(options: StoreOptions) -> Option<(PostgresSchema, PostgresStateStore)> {
    let schema = PostgresSchema::new()?;
    let store = schema.open(options).await;
    Some((schema, store))
}
