//! The schema is what the code thinks it is, and every migration goes both ways.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod migrations;
mod older_shells;
mod other_processes;
mod tables;
