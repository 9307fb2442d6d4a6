//! The only place that knows pools, threads, PRAGMAs and paths.
//!
//! A [`Core`] is one database file in this process: one write lane, one set of readers. Stores on the same file share
//! it. What the repositories need to do before a commit comes in as a function, so that this module knows no table.

mod attachment;
mod checkpoints;
mod closure;
mod connect;
mod core;
mod held;
mod operation;
mod options;
mod owner;
mod patience;
mod readers;
mod recent;
mod registry;
mod threads;
mod transaction;
mod writer;

pub(crate) use attachment::Attachment;
pub(crate) use operation::Shape;
pub use options::{Durability, OpenMode, StoreOptions};

pub(crate) use crate::migrations::{MigrationRecord, Revert};
