//! The guide's contract: what every state store does.

use async_trait::async_trait;
use uuid::Uuid;

use crate::error::StateStoreError;
use crate::migrations::MigrationRecord;
use crate::models::{AgentState, Event, StateTransition, Task};

/// The one list of the contract's methods; it makes the trait, and the inherent methods of
/// [`SqliteStateStore`](crate::SqliteStateStore), so that the guide's code compiles without importing the trait.
///
/// Behind each `=>` stands what the SQLite store does.
macro_rules! state_store_methods {
    ($define:ident) => {
        $define! {
            /// Makes the database ready: creates the file, and runs the migrations that it lacks. May be called again,
            /// by several processes at once.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `NewerDatabase` and `ForeignDatabase` for a file that isn't ours to change: it stays untouched.
            /// `MigrationError` where a migration fails: all are rolled back.
            fn initialize() -> () => |store| { store.make_ready().await };

            /// The migrations that the database has, by version.
            ///
            /// # Errors
            /// As [`initialize`](Self::initialize).
            fn get_migration_history() -> Vec<MigrationRecord> => |store| { store.migrations().applied().await };

            /// Saves an agent's state, over whatever is there.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `InvalidInput` or `TooLarge` for a bad field.
            fn save_agent_state(state: &AgentState) -> () => |store| {
                store.agents().save(state).await.map(drop)
            };

            /// An agent's state; `None` where there is none or it is deleted.
            ///
            /// # Errors
            /// `Corrupt` for a row that can't be decoded.
            fn load_agent_state(agent_id: &str) -> Option<AgentState> => |store| {
                store.agents().get(agent_id).await.map(|found| found.map(|record| record.state))
            };

            /// Every agent that isn't deleted, by id.
            ///
            /// # Errors
            /// `TooManyRows` above `list_rows` (100,000): use `agents().list(..)`.
            fn list_agents() -> Vec<AgentState> => |store| { store.agents().all().await };

            /// Changes an agent's status, and its `updated_at` to now.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `NotFound` where there is no such agent.
            fn update_agent_status(agent_id: &str, status: &str) -> () => |store| {
                store.agents().set_status(agent_id, status, Expected::Any).await.map(drop)
            };

            /// Soft-deletes an agent: it is kept, but no longer found.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `NotFound` where there is no such agent.
            fn delete_agent(agent_id: &str) -> () => |store| {
                store.agents().delete(agent_id, Expected::Any).await.map(drop)
            };

            /// Records that an agent went from one state to another, and why.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `InvalidInput` or `TooLarge` for a bad field.
            fn record_state_transition(
                agent_id: &str,
                state_before: &str,
                state_after: &str,
                reason: Option<String>,
            ) -> () => |store| {
                let mut draft = TransitionDraft::new(agent_id, state_before, state_after);
                draft.reason = reason;
                store.transitions().record(&draft).await.map(drop)
            };

            /// An agent's newest transitions, at the most `limit`, newest first.
            ///
            /// # Errors
            /// `TooManyRows` where more than `list_rows` (100,000) are wanted and there: use `transitions().list(..)`.
            fn get_state_history(agent_id: &str, limit: u32) -> Vec<StateTransition> => |store| {
                store.transitions().newest(agent_id, limit).await
            };

            /// Keeps an agent's whole state as it is now; gives the snapshot's id.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `NotFound` where there is no such agent.
            fn create_snapshot(agent_id: &str, description: Option<String>) -> String => |store| {
                let options = SnapshotOptions { description, expires_at: None };
                store.snapshots().create(agent_id, &options).await
            };

            /// Id, description and time (Unix seconds) of an agent's snapshots, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `list_rows` (100,000): use `snapshots().list(..)`.
            fn list_snapshots(agent_id: &str) -> Vec<(String, Option<String>, i64)> => |store| {
                store.snapshots().all(agent_id).await
            };

            /// Gives the agent of a snapshot the snapshot's whole state.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `NotFound` where there is no such snapshot, or it has expired.
            fn restore_snapshot(snapshot_id: &str) -> () => |store| {
                store.snapshots().restore(snapshot_id, Expected::Any).await.map(drop)
            };

            /// Appends an event; the same event again is a no-op.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `Conflict` where the id holds other content.
            fn save_event(event: &Event) -> () => |store| {
                store.events().append(event).await.map(drop)
            };

            /// Every event of a session, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `list_rows` (100,000): use `events().list(..)`.
            fn get_events(session_id: &str) -> Vec<Event> => |store| {
                store.events().all(EventFilter::default().session(session_id)).await
            };

            /// Every event of a type, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `list_rows` (100,000): use `events().list(..)`.
            fn get_events_by_type(event_type: &str) -> Vec<Event> => |store| {
                store.events().all(EventFilter::default().event_type(event_type)).await
            };

            /// Every event whose content holds all words of the text, newest first. Whatever a person types is
            /// searched as plain words.
            ///
            /// # Errors
            /// `TooManyRows` above `list_rows` (100,000): use `events().search(..)`.
            fn search_events(text: &str) -> Vec<Event> => |store| {
                store.events().search_all(text).await
            };

            /// Saves a task, over whatever is there.
            ///
            /// # Cancellation
            /// All is written, or nothing.
            ///
            /// # Errors
            /// `InvalidInput` or `TooLarge` for a bad field.
            fn save_task(task: &Task) -> () => |store| {
                store.tasks().save(task).await.map(drop)
            };

            /// A task; `None` where there is none or it is deleted.
            ///
            /// # Errors
            /// `Corrupt` for a row that can't be decoded.
            fn get_task(id: &Uuid) -> Option<Task> => |store| {
                store.tasks().get(id).await.map(|found| found.map(|record| record.task))
            };

            /// Every task that isn't deleted, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `list_rows` (100,000): use `tasks().list(..)`.
            fn get_tasks() -> Vec<Task> => |store| { store.tasks().all().await };
        }
    };
}
pub(crate) use state_store_methods;

macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty => |$store:ident| $body:block;
    )*) => {
        /// Durable state of agents: the guide's methods, object-safe. Hold it as `Arc<dyn StateStore>`.
        ///
        /// # Cancellation
        /// A write whose future is dropped either commits whole or never starts; a read leaves nothing behind.
        ///
        /// # Errors of every method
        /// `InvalidInput` or `TooLarge` for an argument outside its limits, `NotInitialized` before
        /// [`initialize`](Self::initialize), `Closed` after closing, `Timeout`, `QueueFull`, `WalFull` and `Busy` when
        /// the store is overloaded, `OutcomeUnknown` when a commit failed half-way, `DatabaseError` for what SQLite reports.
        #[async_trait]
        pub trait StateStore: Send + Sync + 'static {
            $(
                $(#[$doc])*
                async fn $name(&self, $($argument: $type),*) -> Result<$result, StateStoreError>;
            )*
        }
    };
}

state_store_methods!(declare);
