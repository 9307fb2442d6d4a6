//! Many callers, closures and runtimes at once: nobody is lost, nobody starves, nobody finds a connection unclean.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]

mod cancellation;
mod closing;
mod closure_traces;
mod closures;
mod escapes;
mod lane;
mod neighbours;
mod outliving;
mod runtimes;
mod turns;
mod waiting;
mod writer;
