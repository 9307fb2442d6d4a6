//! Namespaces never touch: keys, rows, searches, and every public method.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]

mod handles;
mod isolation;
mod prefixes;
mod shared_search;
mod table;
