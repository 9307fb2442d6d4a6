//! What the tests of the store's packages share: samples, inputs of any kind, a writer that is held, and looks into the
//! file itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a helper of a test that can't go on fails the test"
)]

mod chance;
mod database;
mod examples;
mod migrations;
mod places;
mod polling;
mod postgres;
mod runs;
mod samples;
mod sources;
mod stores;
mod strategies;

pub use chance::Chance;
pub use database::{
    TABLES, assert_index_is_whole, assert_intact, columns, connect, connect_patiently,
    connect_to_tamper, contents, count, dump, lines, number, pragma, schema_dump, tables,
    unindexed, until_indexed,
};
pub use examples::example;
pub use migrations::{migration_names, migrations_directory, migrations_on_disk};
pub use places::Place;
pub use polling::{DEADLINE, block_on, poll_once, polled_at_most, soon, until};
pub use postgres::PostgresSchema;
pub use runs::real_events;
pub use samples::{NOW, agent, event, numbered_event, numbered_task, task};
pub use sources::{public_async_methods, repository};
pub use stores::{HeldWriter, open, open_in, populate, quick};
pub use strategies::{any_id, any_json, any_text, for_all, keeps_nul, refuse_nul};

/// What a test returns that may fail by `?`.
pub type TestResult = Result<(), Box<dyn std::error::Error>>;
