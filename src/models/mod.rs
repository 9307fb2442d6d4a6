//! One file an aggregate: the domain types, the rows, and the checked conversions between them.
//!
//! A row mirrors the columns and is private; what can't be decoded is [`Corrupt`](crate::StateStoreError::Corrupt)
//! with table, key and column, never a default.

mod agent;
mod body;
mod copied_column;
mod copies;
mod enums;
mod event;
mod footprint;
mod session;
#[cfg(feature = "postgres")]
mod shared;
mod snapshot;
mod step;
mod stored;
#[cfg(feature = "postgres")]
mod stored_postgres;
mod task;
mod transition;

pub use agent::{AgentFilter, AgentRecord, AgentState};
pub(crate) use agent::{AgentId, AgentRow, AgentStateByKeyRow, AgentStateRow, NewAgent};
pub(crate) use body::Body;
pub(crate) use copies::{
    CopiedAgent, CopiedEvent, CopiedFloor, CopiedKey, CopiedRow, CopiedRows, CopiedSession,
    CopiedSnapshot, CopiedTable, CopiedTask, CopiedTransition,
};
pub use enums::{ActorType, SessionStatus, TaskStatus};
pub use event::{AppendOptions, Event, EventFilter, EventRecord};
pub(crate) use event::{EventRow, GuideEventRow, NewEvent};
pub(crate) use footprint::Footprint;
pub(crate) use session::{NewSession, SessionRow};
pub use session::{Session, SessionFilter, SessionRecord};
#[cfg(feature = "postgres")]
pub(crate) use shared::{SharedWrite, Wrote};
pub(crate) use snapshot::{NewSnapshot, SnapshotChange, SnapshotRow, SnapshotSummary};
pub use snapshot::{SnapshotFilter, SnapshotOptions, SnapshotRecord};
pub(crate) use step::{NewStep, NewStepChange};
pub use step::{Step, Stepped};
pub(crate) use stored::{
    Place, StoredEnum, StoredFlag, StoredId, StoredInteger, StoredRow, StoredText,
};
pub(crate) use task::{GuideTaskRow, NewTask, TaskRow};
pub use task::{Task, TaskFilter, TaskRecord};
pub(crate) use transition::{NewTransition, StateTransitionRow, TransitionRow};
pub use transition::{StateTransition, TransitionDraft, TransitionFilter, TransitionRecord};

use crate::clock::SharedClock;
use crate::codec::Compression;
use crate::limits::Limits;
use crate::namespace::Namespace;

/// Whose rows a call sees, and the settings that turn values into rows.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) namespace: Namespace,
    pub(crate) limits: Limits,
    pub(crate) compression: Compression,
    pub(crate) clock: SharedClock,
}

/// A list's filter that knows what the database has to do for it.
pub(crate) trait Bounded {
    /// Returns whether one index holds all that the filter asks for, in the list's order: then a page takes about as many
    /// steps as it has rows, however large the table is. Soft-deleted and expired rows may be stepped over.
    fn is_bounded(&self) -> bool;
}
