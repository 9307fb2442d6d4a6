//! Every acknowledged write is on disk: whoever is killed, wherever the log is moved, whatever runtime ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]

mod after_the_runtime;
mod faults;
mod foreign_log;
mod moved;
mod processes;
mod read_only;
mod wal_limit;
mod warnings;
mod write_ahead_log;
