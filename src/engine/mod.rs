//! The engine under a store on SQLite: the only place that knows pools, threads, PRAGMAs and paths.
//!
//! A [`Handle`] is one store's; a `database` is one open file, with one writer and one set of readers, shared by all stores
//! on it in this process. What indexes events comes in from above, so that the engine knows no table.
//! From the top down: `handle`, `database`, `writer` and `readers`, `schema` and `wal`, `connection`, `file`, `pragma`;
//! `transaction`, `adaptive` and `runtime` serve them all.

mod adaptive;
mod blocking;
mod calls;
mod connection;
mod creation;
mod database;
mod event_indexer;
mod file;
mod file_identity;
mod filesystem;
mod handle;
mod identity;
mod obstacle;
mod options;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod pragma;
mod read_extent;
mod read_only;
mod readers;
mod runtime;
mod schema;
mod search_index;
mod transaction;
mod turnstile;
mod wal;
mod writer;

pub(crate) use database::SearchIndexTask;
pub(crate) use event_indexer::EventIndexer;
pub(crate) use handle::Handle;
pub use options::{Durability, OpenMode, StoreOptions};
pub(crate) use read_extent::{ListKind, ReadExtent};
pub(crate) use writer::{WriteKind, WriteSize};
