//! What every contestant's process shares: the workloads, their inputs, the SQL, the protocol, the measuring.
//!
//! It links no SQLite, so that contestants with different versions of it can all use it.

mod corpus;
mod drive;
mod inputs;
mod job;
mod measure;
mod model;
mod operation;
mod rows;
mod sql;
mod ticker;
mod workload;

pub use corpus::{Corpus, Word};
pub use drive::{Contestant, Synchronous, run_asynchronous, run_synchronous};
pub use inputs::{
    Inputs, STEP_REASON, StateSize, agent, agent_id, event, searchable_event, task, transition,
};
pub use job::{Acknowledged, Job, Report, Scale, Setup, TickerReport};
pub use measure::{bytes_on_disk, forget_cached_pages, fsync_probe};
pub use model::{
    ActorType, Agent, AgentRecord, Body, Event, EventRecord, Task, Transition, TransitionRecord,
    UnixTime, decode_body, encode_body,
};
pub use operation::Operation;
pub use rows::{text_of, value_of};
pub use sql::{pragmas, statements};
pub use workload::{Action, Database, Durability, Measure, Workload, workloads};

// What the macro of decoders names.
pub use {anyhow, serde_json, uuid};
