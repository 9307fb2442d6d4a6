//! Turns a process's output, or any stream of lines, into states, transitions, sessions and events of a state store.
//!
//! - [`lines`] cuts bytes as they come into lines.
//! - [`entries`] turns lines, plain or JSON, into the rows of one transaction.
//! - [`run`] runs a command as an agent and records its whole life that way.

mod agents;
pub mod entries;
pub mod lines;
pub mod run;
mod states;
mod structured;
mod times;
