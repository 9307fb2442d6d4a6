//! Turns a process's output, or any stream of lines, into states, transitions, sessions and events of a state store.
//!
//! - [`lines`] cuts bytes as they come into lines.
//! - [`entries`] turns lines, plain or JSON, into the rows of one transaction.
//! - [`sweep`] closes the sessions of runs that died.
//! - [`helper`] is what a recording program does when it runs itself again.
//! - [`run`] runs a command as an agent and records its whole life that way.

mod agents;
pub mod entries;
mod fields;
pub mod helper;
pub mod lines;
mod liveness;
mod object_text;
pub mod run;
mod sessions;
mod states;
mod structured;
pub mod sweep;
#[cfg(unix)]
mod terminal;
mod times;
