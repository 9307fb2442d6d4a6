//! What `LocalProcessRunner` promises, tried on real child processes.
#![cfg(all(unix, feature = "runner"))]

mod life;
#[cfg(target_os = "linux")]
mod reach;
mod start;
