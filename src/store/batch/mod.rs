//! Batches: writes that are collected on the caller, and committed all or nothing.

mod handles;
mod operations;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Instrument;

pub use handles::{
    AgentBatch, EventBatch, SessionBatch, SnapshotBatch, TaskBatch, TransitionBatch,
};
pub use operations::{BatchResults, BatchTicket};
use operations::{Operation, Operations, Output};

use super::core::{Backend, StoreCore, operation_span};
use crate::error::{ErrorKind, StateStoreError};
use crate::models::Scope;
use crate::repository;

/// Writes of a store that are committed all or nothing.
///
/// [`SqliteStateStore::batch`](crate::SqliteStateStore::batch) makes one. Its aggregates have the methods that the store's handles
/// have; each checks and encodes its input at once, and returns a ticket for what it will return. Nothing is written before
/// [`commit`](Self::commit): a batch that is dropped instead leaves nothing behind. Operations see what those before them
/// wrote.
///
/// A batch of up to 32 rows and 256 KiB shares its commit with other callers' writes, like any single write; a larger one, and
/// one with a purge or a restore in it, has a transaction of its own, on the blocking pool. The most is 10,000 rows. It owns its data, and can be built in one place and committed in another.
///
/// ```
/// use descartes_state::{ChangeIf, Session, SessionStatus};
///
/// # descartes_state_testing::example(async |store| {
/// # let state = descartes_state_testing::agent("agent_001");
/// # let event = descartes_state_testing::event("spawned");
/// let mut batch = store.batch();
/// let agent = batch.agents().save(&state)?;
/// batch.sessions().start(&Session::new("session_001", "agent_001"))?;
/// let event = batch.events().append(&event)?;
/// let done = batch.commit().await?;
/// println!("revision {}, event {}", done.get(agent)?, done.get(event)?);
/// # Ok(()) });
/// ```
#[must_use = "a batch that isn't committed writes nothing"]
pub struct Batch {
    core: StoreCore,
    operations: Operations,
}

/// A [`Batch`], to add operations to it under another prefix.
pub struct PrefixedBatch<'b> {
    core: StoreCore,
    operations: &'b mut Operations,
}

/// The methods that return an aggregate.
macro_rules! aggregates {
    ($($noun:ident -> $Batch:ident: $doc:literal;)*) => {
        impl Batch {
            $(
                #[doc = $doc]
                pub fn $noun(&mut self) -> $Batch<'_> {
                    $Batch::new(&self.core, &mut self.operations)
                }
            )*
        }

        impl PrefixedBatch<'_> {
            $(
                #[doc = $doc]
                pub fn $noun(&mut self) -> $Batch<'_> {
                    $Batch::new(&self.core, self.operations)
                }
            )*
        }
    };
}

aggregates! {
    agents -> AgentBatch: "Returns the states of agents.";
    transitions -> TransitionBatch: "Returns the transitions of agents' states.";
    snapshots -> SnapshotBatch: "Returns the snapshots of agents' states.";
    events -> EventBatch: "Returns the events.";
    tasks -> TaskBatch: "Returns the tasks.";
    sessions -> SessionBatch: "Returns the sessions.";
}

impl Batch {
    pub(super) fn new(core: &StoreCore) -> Self {
        Self {
            core: core.clone(),
            operations: Operations::new(),
        }
    }

    /// Returns the same batch under another prefix of the store, as [`SqliteStateStore::with_prefix`] does: what is added
    /// through it is written under that prefix, in the same commit.
    ///
    /// [`SqliteStateStore::with_prefix`]: crate::SqliteStateStore::with_prefix
    ///
    /// ```
    /// # descartes_state_testing::example(async |store| {
    /// # let (sent, received) = (descartes_state_testing::event("sent"), descartes_state_testing::event("received"));
    /// let mut batch = store.with_prefix("alice").batch();
    /// batch.events().append(&sent)?;
    /// batch.with_prefix("bob").events().append(&received)?;
    /// batch.commit().await?;
    /// # Ok(()) });
    /// ```
    pub fn with_prefix(&mut self, prefix: impl Into<String>) -> PrefixedBatch<'_> {
        PrefixedBatch {
            core: self.core.with_prefix(&prefix.into()),
            operations: &mut self.operations,
        }
    }

    /// Returns how many operations were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.list.len()
    }

    /// Returns whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.list.is_empty()
    }

    /// Writes the operations in their order and commits them, all or nothing; returns what each of them returned. An empty
    /// batch is done at once.
    ///
    /// # Errors
    /// [`InBatch`](StateStoreError::InBatch) says which operation failed, and how; nothing of the batch was kept then. Otherwise
    /// what any write says.
    ///
    /// # Cancellation
    /// Dropping the future either lets the batch commit whole or keeps it from starting.
    pub async fn commit(self) -> Result<BatchResults, StateStoreError> {
        let batch = self.operations.batch();
        if self.is_empty() {
            return Ok(Operations::results(batch, Vec::new()));
        }
        let (kind, size) = (self.operations.kind(), self.operations.size);
        let (operations, locks) = (self.operations.list, self.operations.locks);
        let failed = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&failed);
        let span = operation_span("batch.commit");
        let written = match &self.core.backend {
            Backend::Sqlite(handle) => {
                drop(locks);
                let mut operations = operations;
                let work = move |connection: &mut _, notes: &mut _| {
                    run(&mut operations, &kept, |operation, scope| {
                        operation.run(&mut repository::Backend::sqlite(connection, scope, notes))
                    })
                };
                handle
                    .write("batch.commit", kind, size, work)
                    .instrument(span)
                    .await
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => {
                let mut operations = operations;
                let work = move |connection: &mut _, notes: &mut _| {
                    run(&mut operations, &kept, |operation, scope| {
                        operation.run(&mut repository::Backend::postgres(connection, scope, notes))
                    })
                };
                let call = handle.call("batch.commit")?;
                handle
                    .write(&call, "batch.commit", kind, locks.into_keys(), work)
                    .instrument(span)
                    .await
            }
        };
        match written {
            Ok(outputs) => Ok(Operations::results(batch, outputs)),
            Err(error) => {
                let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(match failed {
                    Some(failure) => failure.explain(error),
                    None => error,
                })
            }
        }
    }
}

/// Runs the operations in their order; `kept` is told which failed.
fn run(
    operations: &mut [Operation],
    kept: &Mutex<Option<Failure>>,
    mut run_one: impl FnMut(&mut Operation, &Scope) -> Result<Output, StateStoreError>,
) -> Result<Vec<Output>, StateStoreError> {
    let mut outputs = Vec::with_capacity(operations.len());
    for (place, operation) in operations.iter_mut().enumerate() {
        let scope = Arc::clone(&operation.scope);
        let output = run_one(operation, &scope).inspect_err(|error| {
            let failure = Failure {
                place,
                operation: operation.name,
                kind: error.kind(),
            };
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        })?;
        outputs.push(output);
    }
    Ok(outputs)
}

/// Which operation failed.
struct Failure {
    place: usize,
    operation: &'static str,
    kind: ErrorKind,
}

impl Failure {
    /// Names the operation, unless the error is of the whole commit.
    fn explain(self, error: StateStoreError) -> StateStoreError {
        if error.kind() != self.kind {
            return error;
        }
        StateStoreError::InBatch {
            place: self.place,
            operation: self.operation,
            cause: Box::new(error.during(self.operation)),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("prefix", &self.core.prefix())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PrefixedBatch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrefixedBatch")
            .field("prefix", &self.core.prefix())
            .finish_non_exhaustive()
    }
}
