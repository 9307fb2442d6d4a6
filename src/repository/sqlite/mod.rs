//! The tables on SQLite: the bodies, mounted beside what only SQLite says.
//!
//! The files of `bodies/` name no database. They speak to the `dialect` beside them, and so can be mounted a second time
//! beside another one.

mod dialect;
mod hits;
mod lending;
mod pages;
mod picked;
pub(in crate::repository) mod recent;
mod search;
pub(in crate::repository) mod words;
mod writes;

#[path = "../bodies/agents.rs"]
mod agents;
#[path = "../bodies/context.rs"]
mod context;
#[path = "../bodies/copies.rs"]
mod copies;
#[path = "../bodies/event_filter.rs"]
mod event_filter;
#[path = "../bodies/events.rs"]
mod events;
#[path = "../bodies/limited.rs"]
mod limited;
#[path = "../bodies/lists.rs"]
mod lists;
#[path = "../bodies/prepared.rs"]
mod prepared;
#[path = "../bodies/revisioned.rs"]
mod revisioned;
#[path = "../bodies/sessions.rs"]
mod sessions;
#[path = "../bodies/snapshots.rs"]
mod snapshots;
#[path = "../bodies/steps.rs"]
mod steps;
#[path = "../bodies/tasks.rs"]
mod tasks;
#[path = "../bodies/transitions.rs"]
mod transitions;

pub(crate) use agents::AgentTable;
pub(crate) use context::TableContext;
pub(crate) use copies::CopyTables;
pub(crate) use events::EventTable;
pub(crate) use search::{events_above, index_block};
pub(crate) use sessions::SessionTable;
pub(crate) use snapshots::SnapshotTable;
pub(crate) use tasks::TaskTable;
pub(crate) use transitions::TransitionTable;
pub(crate) use words::Words;
