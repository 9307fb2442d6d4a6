//! What every handle of a store works on: the backend, and whose rows it sees.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Instrument, Span, debug_span};

use crate::commit_notes::CommitNotes;
#[cfg(feature = "postgres")]
use crate::engine::postgres;
use crate::engine::{Handle, ReadExtent, SearchIndexTask, WriteKind, WriteSize};
use crate::error::StateStoreError;
use crate::models::{Footprint, Scope};
use crate::namespace::Namespace;
use crate::repository::{self, ReadTransaction, Transaction};
use crate::store::row_locks::RowLocks;
#[cfg(feature = "postgres")]
use crate::store::shared::{Load, Shared, Write};

/// A store under one prefix. Clones share everything.
#[derive(Clone)]
pub(crate) struct StoreCore {
    pub(super) backend: Backend,
    scope: Arc<Scope>,
    /// What is wrong with the prefix; every call says so.
    illegal_prefix: Option<Arc<str>>,
}

/// The engine that does the work.
#[derive(Clone)]
pub(super) enum Backend {
    Sqlite(Arc<Handle>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<postgres::Handle>, Arc<SharedOperations>),
}

/// What many callers do at once on a server.
#[cfg(feature = "postgres")]
#[derive(Default)]
pub(super) struct SharedOperations {
    pub(super) writes: Arc<Shared<Write>>,
    pub(super) loads: Arc<Shared<Load>>,
}

impl fmt::Debug for StoreCore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoreCore")
            .field("place", &self.place())
            .field("prefix", &self.prefix())
            .finish_non_exhaustive()
    }
}

impl StoreCore {
    /// Makes a store without a prefix.
    pub(super) fn new(backend: Backend, scope: Scope) -> Self {
        Self {
            backend,
            scope: Arc::new(scope),
            illegal_prefix: None,
        }
    }

    /// Returns the same store under another prefix; an illegal one is an error of every call.
    pub(super) fn with_prefix(&self, prefix: &str) -> Self {
        self.try_with_prefix(prefix).unwrap_or_else(|error| Self {
            backend: self.backend.clone(),
            scope: Arc::clone(&self.scope),
            illegal_prefix: Some(match error {
                StateStoreError::InvalidInput { reason, .. } => reason.into(),
                other => other.to_string().into(),
            }),
        })
    }

    pub(super) fn try_with_prefix(&self, prefix: &str) -> Result<Self, StateStoreError> {
        Ok(Self {
            backend: self.backend.clone(),
            scope: Arc::new(Scope {
                namespace: Namespace::new(prefix)?,
                ..(*self.scope).clone()
            }),
            illegal_prefix: None,
        })
    }

    /// Returns where the data are: a path, or a URL without its password.
    pub(super) fn place(&self) -> String {
        match &self.backend {
            Backend::Sqlite(handle) => handle.path().display().to_string(),
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => handle.address(),
        }
    }

    /// Returns the database file; `None` on a server.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.backend {
            Backend::Sqlite(handle) => Some(handle.path()),
            #[cfg(feature = "postgres")]
            Backend::Postgres(..) => None,
        }
    }

    pub(super) fn prefix(&self) -> &str {
        self.scope.namespace.as_str()
    }

    /// Returns whose rows this store sees, whatever its prefix.
    pub(super) fn settings(&self) -> &Scope {
        &self.scope
    }

    /// Returns whose rows this store sees, to use it.
    pub(super) fn scope(&self) -> Result<&Arc<Scope>, StateStoreError> {
        match &self.illegal_prefix {
            None => Ok(&self.scope),
            Some(reason) => Err(StateStoreError::invalid("prefix", reason.as_ref())),
        }
    }

    /// Reads, for the store itself.
    pub(super) async fn read<T, F>(
        &self,
        operation: &'static str,
        extent: ReadExtent,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut repository::Backend<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        let scope = Arc::clone(self.scope()?);
        match &self.backend {
            Backend::Sqlite(handle) => {
                let work = move |connection: &mut _, budget: &_| {
                    let mut notes = CommitNotes::default();
                    work(&mut repository::Backend::counted_sqlite(
                        connection, &scope, &mut notes, budget,
                    ))
                };
                handle
                    .read(operation, extent, work)
                    .instrument(operation_span(operation))
                    .await
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => {
                let work = move |connection: &mut _, budget: &_| {
                    let mut notes = CommitNotes::default();
                    work(&mut repository::Backend::counted_postgres(
                        connection, &scope, &mut notes, budget,
                    ))
                };
                let call = handle.call(operation)?;
                handle
                    .read(&call, operation, work)
                    .instrument(operation_span(operation))
                    .await
            }
        }
    }

    /// Runs a caller's closure in a read transaction.
    pub(super) async fn read_closure<T, F>(&self, work: F) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut ReadTransaction<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        self.in_snapshot("read", |backend| {
            work(&mut ReadTransaction::new(backend.reborrow()))
        })
        .await
    }

    /// Runs work of any length that sees the data of one moment, on the blocking pool.
    pub(super) async fn in_snapshot<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut repository::Backend<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        let scope = Arc::clone(self.scope()?);
        match &self.backend {
            Backend::Sqlite(handle) => {
                handle
                    .read_closure(operation, move |connection, notes| {
                        work(&mut repository::Backend::sqlite(connection, &scope, notes))
                    })
                    .instrument(operation_span(operation))
                    .await
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => {
                handle
                    .read_closure(operation, move |connection, notes| {
                        work(&mut repository::Backend::postgres(
                            connection, &scope, notes,
                        ))
                    })
                    .instrument(operation_span(operation))
                    .await
            }
        }
    }

    /// Returns the locks of the rows that a write changes, where others may change them meanwhile.
    pub(super) fn locks(&self, aggregate: &'static str, prepared: &impl Footprint) -> RowLocks {
        let mut locks = RowLocks::default();
        let others_write = match &self.backend {
            Backend::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Backend::Postgres(..) => true,
        };
        if others_write {
            prepared.name_rows(aggregate, &mut |aggregate, key| {
                locks.add(self.prefix(), aggregate, key);
            });
        }
        locks
    }

    /// Writes, for the store itself.
    pub(super) async fn write<T, F>(
        &self,
        operation: &'static str,
        kind: WriteKind,
        size: WriteSize,
        locks: RowLocks,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut repository::Backend<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        let scope = Arc::clone(self.scope()?);
        match &self.backend {
            Backend::Sqlite(handle) => {
                // There is one writer.
                drop(locks);
                let work = move |connection: &mut _, notes: &mut _| {
                    work(&mut repository::Backend::sqlite(connection, &scope, notes))
                };
                handle
                    .write(operation, kind, size, work)
                    .instrument(operation_span(operation))
                    .await
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => {
                let work = move |connection: &mut _, notes: &mut _| {
                    work(&mut repository::Backend::postgres(
                        connection, &scope, notes,
                    ))
                };
                let call = handle.call(operation)?;
                handle
                    .write(&call, operation, kind, locks.into_keys(), work)
                    .instrument(operation_span(operation))
                    .await
            }
        }
    }

    /// Works on the search index as a whole.
    pub(super) async fn work_on_search_index(
        &self,
        operation: &'static str,
        task: SearchIndexTask,
    ) -> Result<(), StateStoreError> {
        self.scope()?;
        match &self.backend {
            Backend::Sqlite(handle) => {
                handle
                    .work_on_search_index(operation, task)
                    .instrument(operation_span(operation))
                    .await
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(..) => match task {
                // The server keeps its index; what the words are is written with each event.
                SearchIndexTask::Check => Ok(()),
                SearchIndexTask::Rebuild => {
                    let (kind, size) = (WriteKind::Bulk, WriteSize::NONE);
                    self.write(operation, kind, size, RowLocks::default(), |backend| {
                        backend.prepare_words_again()
                    })
                    .await
                }
            },
        }
    }

    /// Makes the schema whole.
    pub(super) async fn initialize(&self) -> Result<(), StateStoreError> {
        self.scope()?;
        let span = operation_span("initialize");
        match &self.backend {
            Backend::Sqlite(handle) => handle.initialize().instrument(span).await,
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => handle.initialize().instrument(span).await,
        }
    }

    /// Refuses new calls, waits for those in flight, and closes the connections.
    pub(super) async fn close(&self) -> Result<(), StateStoreError> {
        let span = operation_span("close");
        match &self.backend {
            Backend::Sqlite(handle) => handle.close().instrument(span).await,
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => handle.close().instrument(span).await,
        }
    }

    /// Runs a caller's closure in a write transaction.
    pub(super) async fn transact<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        let mut work = Some(work);
        let kind = WriteKind::Closure(std::any::type_name::<F>());
        let size = WriteSize {
            operations: 1,
            bytes: size_of::<F>(),
        };
        self.write(operation, kind, size, RowLocks::default(), move |backend| {
            // The writer runs a closure once; a second run would have nothing to do.
            let work = work.take().ok_or(StateStoreError::Closed)?;
            work(&mut Transaction::new(backend.reborrow()))
        })
        .await
    }

    /// As [`transact`](Self::transact), for a closure with an error type of its own.
    pub(super) async fn try_transact<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StateStoreError> + Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        let own = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&own);
        let result = self
            .transact("transact", move |transaction| {
                work(transaction).map_err(|error| {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    StateStoreError::application("the closure's own error")
                })
            })
            .await;
        match result {
            Ok(value) => Ok(value),
            Err(StateStoreError::Application(source)) => {
                let own = own.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(own.unwrap_or_else(|| StateStoreError::Application(source).into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns how much a prepared write is.
pub(super) fn size_of_write(prepared: &impl Footprint) -> WriteSize {
    WriteSize {
        operations: prepared.operations(),
        bytes: prepared.bytes(),
    }
}

/// Makes one span an operation, named by it; never with ids, states or content.
pub(super) fn operation_span(operation: &'static str) -> Span {
    debug_span!("state_store", operation)
}
