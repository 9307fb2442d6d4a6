//! What a handle's method has prepared: done by itself, or on a server with what others have prepared.

#[cfg(feature = "postgres")]
use std::any::{Any, TypeId};
#[cfg(feature = "postgres")]
use std::sync::Arc;

#[cfg(feature = "postgres")]
use tracing::Instrument;

use super::core::StoreCore;
#[cfg(feature = "postgres")]
use super::core::{Backend, operation_span};
use super::row_locks::RowLocks;
#[cfg(feature = "postgres")]
use super::shared::{Load, Write, Written};
#[cfg(feature = "postgres")]
use crate::commit_notes::CommitNotes;
use crate::engine::{ReadExtent, WriteKind, WriteSize};
use crate::error::StateStoreError;
use crate::models::Footprint;
#[cfg(feature = "postgres")]
use crate::models::{AgentId, AgentRecord, AgentState, Stepped, Wrote};
#[cfg(feature = "postgres")]
use crate::numbers::{Revision, Seq};
use crate::repository;

impl StoreCore {
    /// Reads what was prepared, with others where that can be.
    pub(super) async fn read_prepared<T, P, F>(
        &self,
        operation: &'static str,
        extent: ReadExtent,
        prepared: P,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        P: Send + 'static,
        F: FnMut(&mut repository::Backend<'_>, &P) -> Result<T, StateStoreError> + Send + 'static,
    {
        #[cfg(feature = "postgres")]
        if let Backend::Postgres(handle, shared) = &self.backend
            && let Some(agent_id) = (&prepared as &dyn Any).downcast_ref::<AgentId>()
        {
            let scope = Arc::clone(self.scope()?);
            // Until it is done, by others or by itself.
            let call = handle.call(operation)?;
            let key = scope.namespace.key(agent_id);
            let loaded = shared
                .loads
                .run(handle, operation, call.clone(), Load { key, scope });
            if let Some(found) = loaded.instrument(operation_span(operation)).await {
                return found
                    .map_err(|error| error.during(operation))
                    .and_then(loaded_as);
            }
            let scope = Arc::clone(self.scope()?);
            let work = move |connection: &mut _, budget: &_| {
                let mut notes = CommitNotes::default();
                let mut backend =
                    repository::Backend::counted_postgres(connection, &scope, &mut notes, budget);
                work(&mut backend, &prepared)
            };
            let read = handle.read(&call, operation, work);
            return read.instrument(operation_span(operation)).await;
        }
        self.read(operation, extent, move |backend| work(backend, &prepared))
            .await
    }

    /// Writes what was prepared, with others where that can be.
    pub(super) async fn write_prepared<T, P, F>(
        &self,
        operation: &'static str,
        kind: WriteKind,
        size: WriteSize,
        locks: RowLocks,
        prepared: P,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        P: Footprint + Send + Sync + 'static,
        F: FnMut(&mut repository::Backend<'_>, &P) -> Result<T, StateStoreError> + Send + 'static,
    {
        #[cfg(feature = "postgres")]
        if let Backend::Postgres(handle, shared) = &self.backend {
            let scope = Arc::clone(self.scope()?);
            // Until it is done, by others or by itself.
            let call = handle.call(operation)?;
            let prepared = Arc::new(prepared);
            if let Some(write) = Write::of(Arc::clone(&prepared) as _, size.bytes) {
                let call = call.clone();
                let written = shared.writes.run(handle, operation, call, write);
                match written.instrument(operation_span(operation)).await {
                    Written::Wrote(wrote) => return returned(wrote),
                    Written::Failed(error) => return Err(error.during(operation)),
                    Written::Alone => {}
                }
            }
            let work = move |connection: &mut _, notes: &mut _| {
                let mut backend = repository::Backend::postgres(connection, &scope, notes);
                work(&mut backend, &prepared)
            };
            let locks = locks.into_keys();
            let written = handle.write(&call, operation, kind, locks, work);
            return written.instrument(operation_span(operation)).await;
        }
        self.write(operation, kind, size, locks, move |backend| {
            work(backend, &prepared)
        })
        .await
    }
}

/// Returns what a method returns of an agent that was loaded with others: the record, or its state.
#[cfg(feature = "postgres")]
fn loaded_as<T: 'static>(record: AgentRecord) -> Result<T, StateStoreError> {
    let value: Box<dyn Any> = match TypeId::of::<T>() == TypeId::of::<Option<AgentState>>() {
        true => Box::new(Some(record.state)),
        false => Box::new(Some(record)),
    };
    typed(value)
}

/// Returns what a method returns of a shared write.
#[cfg(feature = "postgres")]
fn returned<T: 'static>(wrote: Wrote) -> Result<T, StateStoreError> {
    let seqs = |seqs: Vec<i64>| seqs.into_iter().map(Seq::from);
    let value: Box<dyn Any> = match (wrote.revision, wrote.transition) {
        (Some(revision), Some(transition)) => Box::new(Stepped {
            revision: revision.into(),
            transition: transition.into(),
            events: seqs(wrote.events).collect(),
            session: None,
        }),
        (Some(revision), None) => Box::new(Revision::from(revision)),
        (None, _) => match seqs(wrote.events).next() {
            Some(seq) => Box::new(seq),
            None => return Err(returns_something_else()),
        },
    };
    typed(value)
}

/// Returns a value as what its method returns: each that is shared has the one type, as the tests of the contract show.
#[cfg(feature = "postgres")]
fn typed<T: 'static>(value: Box<dyn Any>) -> Result<T, StateStoreError> {
    let value = value.downcast().map(|value| *value);
    value.map_err(|_| returns_something_else())
}

#[cfg(feature = "postgres")]
fn returns_something_else() -> StateStoreError {
    StateStoreError::application(
        "it was done, but a method returns something else than its shared form",
    )
}
