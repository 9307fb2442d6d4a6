//! The guide's contract: what every state store does.

use async_trait::async_trait;
use uuid::Uuid;

use crate::error::StateStoreError;
use crate::migrations::MigrationRecord;
use crate::models::{AgentState, Event, StateTransition, Task};

/// What every write says of cancellation.
macro_rules! cancellation {
    () => {
        "\n\n# Cancellation\nUntil the write has its turn in the queue, dropping the future withdraws it, and nothing is written. From then on it runs to \
its end without the future: it commits whole, or is rolled back whole, and nobody hears which.\n\n"
    };
}
pub(crate) use cancellation;

/// The one list of the contract's methods; it makes the trait, and the inherent methods of
/// [`SqliteStateStore`](crate::SqliteStateStore), so that the guide's code compiles without importing the trait.
///
/// Behind each `=>` stands what a store does with its aggregate handles.
macro_rules! state_store_methods {
    ($define:ident) => {
        $define! {
            /// Makes the database ready: creates the file, and runs the migrations that it lacks. May be called again, by
            /// several processes at once.
            ///
            /// # Errors
            /// `NewerDatabase` and `ForeignDatabase` for a file that isn't ours to change: it stays untouched.
            /// `MigrationError` where a migration fails, and all are rolled back, or where another text of a migration
            /// made the file, which stays untouched.
            ///
            /// # Cancellation
            /// It runs to its end once it has begun: the schema is whole then, or as it was before.
            read fn initialize() -> () => |store| { store.make_ready().await };

            /// Returns the migrations that the database has, by version.
            ///
            /// # Errors
            /// `NewerDatabase` and `ForeignDatabase` for a file that isn't ours.
            read fn get_migration_history() -> Vec<MigrationRecord> => |store| { store.migrations().applied().await };

            /// Saves an agent's state, over whatever is there.
            ///
            /// # Errors
            /// `InvalidInput` or `TooLarge` for a bad field.
            write fn save_agent_state(state: &AgentState) -> () => |store| {
                store.agents().save(state).await.map(drop)
            };

            /// Returns an agent's state; `None` where there is none or it is deleted.
            ///
            /// # Errors
            /// `Corrupt` for a row that can't be decoded.
            read fn load_agent_state(agent_id: &str) -> Option<AgentState> => |store| {
                store.agents().state(agent_id).await
            };

            /// Returns every agent that isn't deleted, by id. One whose compressed state is above the reader's limit is left out,
            /// with a warning; `agents().list(..)` names it.
            ///
            /// # Errors
            /// `TooManyRows` above `Limits::list_rows` (100,000): use `agents().list(..)`.
            read fn list_agents() -> Vec<AgentState> => |store| { store.agents().all().await };

            /// Changes an agent's status, and its `updated_at` to now.
            ///
            /// # Errors
            /// `NotFound` where there is no such agent.
            write fn update_agent_status(agent_id: &str, status: &str) -> () => |store| {
                store.agents().set_status(agent_id, status, ChangeIf::Any).await.map(drop)
            };

            /// Soft-deletes an agent: it is kept, but no longer found.
            ///
            /// # Errors
            /// `NotFound` where there is no such agent.
            write fn delete_agent(agent_id: &str) -> () => |store| {
                store.agents().delete(agent_id, ChangeIf::Any).await.map(drop)
            };

            /// Records that an agent went from one state to another, and why.
            ///
            /// # Errors
            /// `InvalidInput` or `TooLarge` for a bad field.
            write fn record_state_transition(
                agent_id: &str,
                state_before: &str,
                state_after: &str,
                reason: Option<String>,
            ) -> () => |store| {
                let mut draft = TransitionDraft::new(agent_id, state_before, state_after);
                draft.reason = reason;
                store.transitions().record(&draft).await.map(drop)
            };

            /// Returns an agent's newest transitions, at most `limit`, newest first. One whose compressed states are above the
            /// reader's limit is left out, with a warning; `transitions().list(..)` names it.
            ///
            /// # Errors
            /// `TooManyRows` where more than `Limits::list_rows` (100,000) are wanted and there: use
            /// `transitions().list(..)`.
            read fn get_state_history(agent_id: &str, limit: u32) -> Vec<StateTransition> => |store| {
                store.transitions().newest(agent_id, limit).await
            };

            /// Keeps an agent's whole state as it is now; returns the snapshot's id.
            ///
            /// # Errors
            /// `NotFound` where there is no such agent.
            write fn create_snapshot(agent_id: &str, description: Option<String>) -> String => |store| {
                let options = SnapshotOptions { description, expires_at: None };
                store.snapshots().create(agent_id, &options).await
            };

            /// Returns id, description and time (Unix seconds) of an agent's snapshots, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `Limits::list_rows` (100,000): use `snapshots().list(..)`.
            read fn list_snapshots(agent_id: &str) -> Vec<(String, Option<String>, i64)> => |store| {
                store.snapshots().all(agent_id).await
            };

            /// Writes a snapshot's whole state over its agent's.
            ///
            /// # Errors
            /// `NotFound` where there is no such snapshot, `InvalidState` where it has expired.
            write fn restore_snapshot(snapshot_id: &str) -> () => |store| {
                store.snapshots().restore(snapshot_id, ChangeIf::Any).await.map(drop)
            };

            /// Appends an event; the same event again is a no-op.
            ///
            /// # Errors
            /// `Conflict` where the id holds other content.
            write fn save_event(event: &Event) -> () => |store| {
                store.events().append(event).await.map(drop)
            };

            /// Returns every event of a session, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `Limits::list_rows` (100,000): use `events().list(..)`.
            read fn get_events(session_id: &str) -> Vec<Event> => |store| {
                store.events().all(EventFilter::default().session(session_id)).await
            };

            /// Returns every event of a type, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `Limits::list_rows` (100,000): use `events().list(..)`.
            read fn get_events_by_type(event_type: &str) -> Vec<Event> => |store| {
                store.events().all(EventFilter::default().event_type(event_type)).await
            };

            /// Returns every event whose content holds all words of the text, newest first. Whatever a person types is
            /// searched as plain words.
            ///
            /// # Errors
            /// `TooManyRows` above `Limits::list_rows` (100,000): use `events().search(..)`.
            read fn search_events(text: &str) -> Vec<Event> => |store| {
                store.events().search_all(text).await
            };

            /// Saves a task, over whatever is there.
            ///
            /// # Errors
            /// `InvalidInput` or `TooLarge` for a bad field.
            write fn save_task(task: &Task) -> () => |store| {
                store.tasks().save(task).await.map(drop)
            };

            /// Returns a task; `None` where there is none or it is deleted.
            ///
            /// # Errors
            /// `Corrupt` for a row that can't be decoded.
            read fn get_task(id: &Uuid) -> Option<Task> => |store| {
                store.tasks().get(id).await.map(|found| found.map(|record| record.task))
            };

            /// Returns every task that isn't deleted, newest first.
            ///
            /// # Errors
            /// `TooManyRows` above `Limits::list_rows` (100,000): use `tasks().list(..)`.
            read fn get_tasks() -> Vec<Task> => |store| { store.tasks().all().await };
        }
    };
}
pub(crate) use state_store_methods;

/// What a method's docs end with, by what it does.
macro_rules! closing_text {
    (read) => {
        ""
    };
    (write) => {
        $crate::state_store::cancellation!()
    };
}
pub(crate) use closing_text;

macro_rules! declare {
    ($(
        $(#[$doc:meta])*
        $does:ident fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty => |$store:ident| $body:block;
    )*) => {
        /// Durable state of agents: the guide's methods, object-safe. Hold it as `Arc<dyn StateStore>`.
        ///
        /// # Errors of every method
        /// `InvalidInput` or `TooLarge` for an argument outside its limits, `NotInitialized` before
        /// [`initialize`](Self::initialize), `Closed` after closing, `Timeout`, `QueueFull`, `WalFull` and `Busy` when the
        /// store is overloaded, `OutcomeUnknown` when a commit failed half-way, `DatabaseError` for what SQLite reports.
        ///
        /// # Cancellation
        /// A read leaves nothing behind. Each write says what dropping its future means.
        #[async_trait]
        pub trait StateStore: Send + Sync + 'static {
            $(
                $(#[$doc])*
                #[doc = $crate::state_store::closing_text!($does)]
                async fn $name(&self, $($argument: $type),*) -> Result<$result, StateStoreError>;
            )*
        }
    };
}

state_store_methods!(declare);
