//! The aggregates within one open transaction: one file each, scoped to a namespace.
//!
//! A repository knows nothing of tokio, pools or threads. It is made from a [`Transaction`], which carries the namespace,
//! so that neither can be forgotten. Names: the noun is the repository, the verb the method; what takes a condition
//! compares and sets in the transaction that is already open, which holds the write lock.
//!
//! - Each aggregate's file here has its public types and the one list of its methods, with their docs. The list makes the
//!   reader and the repository here, and the handle in `store`.
//! - What a method does stands in `bodies/`, in Diesel, for any backend; `sqlite/` mounts it beside what only SQLite says.

mod agents;
mod backend;
mod events;
mod methods;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod sessions;
mod snapshots;
pub(crate) mod sqlite;
mod tasks;
mod transaction;
mod transitions;

pub use agents::{AgentReader, AgentRepository};
pub(crate) use agents::{agent_methods, update_text};
pub(crate) use backend::{Backend, on_table};
pub(crate) use events::event_methods;
pub use events::{EventReader, EventRepository};
pub(crate) use sessions::session_methods;
pub use sessions::{SessionReader, SessionRepository};
pub(crate) use snapshots::snapshot_methods;
pub use snapshots::{SnapshotReader, SnapshotRepository};
pub(crate) use sqlite::{Words, events_above, index_block};
pub(crate) use tasks::task_methods;
pub use tasks::{TaskReader, TaskRepository};
pub use transaction::{ReadTransaction, Transaction};
pub(crate) use transitions::transition_methods;
pub use transitions::{TransitionReader, TransitionRepository};
