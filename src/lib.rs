#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod codec;
mod commit_notes;
mod condition;
mod engine;
pub mod error;
mod limits;
pub mod migrations;
mod models;
mod namespace;
mod numbers;
pub mod page;
mod read_budget;
mod repository;
#[cfg(feature = "runner")]
pub mod runner;
/// The tables, for type-checked queries of your own: generated from the migrations. Those on PostgreSQL are in
#[cfg_attr(feature = "postgres", doc = "[`postgres`](schema::postgres).")]
#[cfg_attr(
    not(feature = "postgres"),
    doc = "`schema::postgres` (feature `postgres`)."
)]
#[allow(missing_docs)]
pub mod schema {
    #[path = "../schema.rs"]
    mod sqlite;
    pub use sqlite::*;

    #[cfg(feature = "postgres")]
    pub mod postgres;
}
mod search_text;
mod state_store;
mod store;

pub use clock::{Clock, ManualClock, SystemClock, new_id};
pub use codec::Codec;
pub use condition::{ChangeIf, SaveIf};
pub use engine::{Durability, OpenMode, StoreOptions};
pub use error::{
    DatabaseError, DatabaseFailure, MigrationError, SerializationError, StateStoreError,
};
pub use limits::Limits;
pub use migrations::{MigrationRecord, PendingMigration};
pub use models::{
    ActorType, AgentFilter, AgentRecord, AgentState, AppendOptions, Event, EventFilter,
    EventRecord, Session, SessionFilter, SessionRecord, SessionStatus, SnapshotFilter,
    SnapshotOptions, SnapshotRecord, StateTransition, Step, Stepped, Task, TaskFilter, TaskRecord,
    TaskStatus, TransitionDraft, TransitionFilter, TransitionRecord,
};
pub use numbers::{Revision, Seq};
pub use page::{Cursor, Page, PageRequest, TimeRange};
pub use repository::{
    AgentReader, AgentRepository, EventReader, EventRepository, ReadTransaction, SessionReader,
    SessionRepository, SnapshotReader, SnapshotRepository, TaskReader, TaskRepository, Transaction,
    TransitionReader, TransitionRepository,
};
#[cfg(feature = "runner")]
pub use runner::{
    AgentCommand, AgentExit, AgentInfo, AgentOutput, AgentSignal, AgentStatus, LocalProcessRunner,
    RunnerError, RunnerOptions,
};
pub use state_store::StateStore;
#[cfg(feature = "postgres")]
pub use store::PostgresStateStore;
pub use store::{
    AgentBatch, Agents, AnyStateStore, Batch, BatchResults, BatchTicket, CopyOptions, CopyProgress,
    CopyReport, EventBatch, Events, Migrations, PrefixedBatch, SessionBatch, Sessions,
    SnapshotBatch, Snapshots, SqliteStateStore, TableCopy, TaskBatch, Tasks, TransitionBatch,
    Transitions, copy_store,
};

pub use {chrono, deadpool_diesel, diesel, serde_json, uuid};

/// The examples of the guide's page, so that `cargo test` compiles and runs them.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
