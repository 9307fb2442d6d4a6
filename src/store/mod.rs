//! The stores and their aggregate handles.
//!
//! Each method checks and encodes its input on the caller's thread, and leaves the rest to the engine's writer or readers.
//! What it does there is the repository's.

mod agents;
mod any;
mod batch;
mod contract;
mod copy;
mod core;
mod events;
mod face;
mod handle;
mod indexer;
mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
mod prepared;
mod row_locks;
mod sessions;
#[cfg(feature = "postgres")]
mod shared;
mod snapshots;
mod sqlite;
mod tasks;
mod transitions;

pub use agents::Agents;
pub use any::AnyStateStore;
pub use batch::{
    AgentBatch, Batch, BatchResults, BatchTicket, EventBatch, PrefixedBatch, SessionBatch,
    SnapshotBatch, TaskBatch, TransitionBatch,
};
pub use copy::{CopyOptions, CopyProgress, CopyReport, TableCopy, copy_store};
pub(crate) use core::StoreCore;
pub use events::Events;
pub use migrations::Migrations;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStateStore;
pub use sessions::Sessions;
pub use snapshots::Snapshots;
pub use sqlite::SqliteStateStore;
pub use tasks::Tasks;
pub use transitions::Transitions;

use crate::engine::StoreOptions;
use crate::models::Scope;
use crate::namespace::Namespace;

fn scope(options: &StoreOptions) -> Scope {
    Scope {
        namespace: Namespace::default(),
        limits: options.limits.clone(),
        compression: options.compression,
        clock: options.clock.clone(),
    }
}
