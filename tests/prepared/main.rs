//! The statements that the store prepares once a connection: they write what plain Diesel writes, whatever came before
//! them on the connection, and they are prepared once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod once;
mod plain;
mod rows;
#[path = "../support_lane/mod.rs"]
mod support_lane;
mod writes;
