//! The program from end to end: the built binary, on files of its own.
//!
//! No test sleeps: each waits for what it needs, and one that would hang fails after a minute.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test that can't go on fails the test"
)]

mod copying;
mod ending;
mod failing;
mod interrupt;
mod jsonl;
mod lingering;
mod migrating;
mod postgres;
mod reading;
mod recording;
mod repeated;
mod searching;
mod showing;
mod streams;
mod strict;
mod support;
mod sweeping;
mod terminal;
mod torture;
