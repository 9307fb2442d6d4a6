//! What `LocalProcessRunner` promises, tried on real child processes.
#![cfg(all(unix, feature = "runner"))]

mod life;
mod start;
