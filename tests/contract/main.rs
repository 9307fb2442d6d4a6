//! The contract: what each method does, for every configuration; and the guide's examples as they stand there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]

// Under the name that the guide gives the crate.
extern crate descartes_state as descartes_core;

mod aggregates;
mod conformance;
mod errors;
#[cfg(feature = "runner")]
mod guide;
mod prepared;
mod traits;
