#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod codec;
mod commit_notes;
mod engine;
mod error;
mod expected;
mod limits;
mod migrations;
mod models;
mod namespace;
mod page;
mod repository;
#[cfg(feature = "runner")]
mod runner;
/// The tables, for type-checked queries of your own: generated from the migrations.
#[allow(missing_docs)]
pub mod schema;
mod state_store;
mod store;

pub use clock::{Clock, ManualClock, SystemClock};
pub use codec::Codec;
pub use engine::{Durability, OpenMode, StoreOptions};
pub use error::{
    DatabaseError, DatabaseFailure, MigrationError, SerializationError, Source, StateStoreError,
};
pub use expected::Expected;
pub use limits::Limits;
pub use migrations::{MigrationRecord, PendingMigration, Revert};
pub use models::{
    ActorType, AgentFilter, AgentRecord, AgentState, Event, EventFilter, EventRecord, Session,
    SessionFilter, SessionRecord, SessionStatus, SnapshotFilter, SnapshotOptions, SnapshotRecord,
    StateTransition, Task, TaskFilter, TaskRecord, TaskStatus, TransitionDraft, TransitionFilter,
    TransitionRecord,
};
pub use page::{Cursor, Order, Page, PageRequest, TimeRange};
pub use repository::{
    AgentRepository, EventRepository, SessionRepository, SnapshotRepository, TaskRepository,
    Transaction, TransitionRepository,
};
#[cfg(feature = "runner")]
pub use runner::{
    AgentCommand, AgentExit, AgentInfo, AgentOutput, AgentSignal, AgentStatus, Input,
    LocalProcessRunner, Output, RunnerError, RunnerOptions,
};
pub use state_store::StateStore;
pub use store::{
    Agents, Events, Migrations, Sessions, Snapshots, SqliteStateStore, Tasks, Transitions,
};

pub use {chrono, deadpool_diesel, diesel, serde_json, uuid};
