//! The tables on PostgreSQL: the bodies, mounted beside what only PostgreSQL says.

mod dialect;
mod hits;
mod lending;
mod pages;
mod search;
mod shared;
mod words;
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
pub(crate) use dialect::settled_numbers;
pub(crate) use events::EventTable;
pub(crate) use search::prepare_words_again;
pub(crate) use sessions::SessionTable;
pub(crate) use shared::{load_shared, write_shared};
pub(crate) use snapshots::SnapshotTable;
pub(crate) use tasks::TaskTable;
pub(crate) use transitions::TransitionTable;
