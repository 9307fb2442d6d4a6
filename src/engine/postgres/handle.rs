//! One store's handle on a database: where calls enter, and begin again where that helps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::PgConnection;
use tokio::runtime::Handle as Runtime;
use tokio::sync::SemaphorePermit;

use super::address::Address;
use super::connections::{Connections, Slot};
use super::pooler::require_session;
use super::schema;
use super::transaction::{
    Afterwards, BeforeSnapshot, Transaction, Tried, Work, read_in_snapshot, read_once,
    was_committed, witness_crashes, write_once,
};
use crate::commit_notes::CommitNotes;
use crate::engine::calls::{Call, Calls};
use crate::engine::options::{OpenMode, StoreOptions};
use crate::engine::runtime::{current_or, on_blocking_pool};
use crate::engine::transaction::{DatabaseId, refuse_reentry};
use crate::engine::writer::WriteKind;
use crate::error::{ErrorKind, StateStoreError};
use crate::migrations::{AppliedMigration, Revert};
use crate::read_budget::ReadBudget;

/// One store's handle on a database. Clones of the store share it.
pub(crate) struct Handle {
    id: DatabaseId,
    connections: Arc<Connections>,
    runtime: Runtime,
    mode: OpenMode,
    calls: Calls,
    is_ready: AtomicBool,
    /// What is asked before a snapshot is taken.
    before_snapshot: BeforeSnapshot,
}

/// How often an operation begins again because others were in its way, and how long it waits before each.
const COLLISIONS: u32 = 16;
const COLLISION_PAUSE: Duration = Duration::from_millis(1);
/// How long it waits before it asks again for a server that is away.
const SERVER_PAUSE: Duration = Duration::from_millis(50);

impl Handle {
    /// Opens a store: reads the URL, and asks the server whether it is there.
    pub(crate) async fn open(
        url: &str,
        options: &StoreOptions,
        before_snapshot: BeforeSnapshot,
    ) -> Result<Self, StateStoreError> {
        options.check()?;
        let runtime = Runtime::try_current().map_err(|_| StateStoreError::Unsupported {
            reason: "a store is opened inside a tokio runtime".into(),
        })?;
        let address = Address::parse(url)?;
        let connections = Connections::new(address, options, runtime.clone())?;
        let handle = Self {
            id: DatabaseId::new(),
            connections,
            runtime,
            mode: options.mode,
            calls: Calls::new(),
            is_ready: AtomicBool::new(false),
            before_snapshot,
        };
        let mut slot = handle.connections.acquire("open").await?;
        slot.connect().await?;
        require_session(&handle.runtime, slot, handle.connections.address()).await?;
        Ok(handle)
    }

    /// Returns where the server is, without the password.
    pub(crate) fn address(&self) -> String {
        self.connections.address().to_string()
    }

    /// Counts a call that others will do, so that closing waits for it.
    ///
    /// # Errors
    /// `Reentrant` from inside a closure of the store's own, `Closed` after closing.
    pub(crate) fn call(&self, operation: &'static str) -> Result<Call, StateStoreError> {
        self.calls.enter_for_others(self.id, operation)
    }

    pub(crate) async fn initialize(&self) -> Result<(), StateStoreError> {
        let _call = self.enter("initialize")?;
        let (mode, connections) = (self.mode, Arc::clone(&self.connections));
        self.plain("initialize", move |connection| {
            match mode {
                OpenMode::Create => schema::migrate(connection, connections.address().schema())?,
                OpenMode::Existing => schema::require_whole(connection)?,
            }
            witness_crashes(connection)
        })
        .await?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) async fn schema(
        &self,
        operation: &'static str,
    ) -> Result<Vec<AppliedMigration>, StateStoreError> {
        let _call = self.enter(operation)?;
        self.plain(operation, schema::inspect).await
    }

    /// Reverts the last migration, or only shows what would go.
    pub(crate) async fn revert(
        &self,
        operation: &'static str,
        keep: bool,
    ) -> Result<Revert, StateStoreError> {
        let _call = self.enter(operation)?;
        let mut was_tried = false;
        let revert = self
            .plain(operation, move |connection| {
                // A second time it might be the one before that is reverted.
                if keep && std::mem::replace(&mut was_tried, true) {
                    return Err(StateStoreError::OutcomeUnknown {
                        operation,
                        cause: "the connection broke: ask for the applied migrations".into(),
                    });
                }
                schema::revert_last(connection, keep)
            })
            .await;
        if keep {
            self.is_ready.store(false, Ordering::Release);
        }
        revert
    }

    /// Reads, for the store itself. The work may run again.
    pub(crate) async fn read<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &ReadBudget) -> Result<T, StateStoreError> + Send + 'static,
    {
        let _call = self.enter(operation)?;
        self.read_for_calls(operation, work).await
    }

    /// As [`read`](Self::read), for calls that are counted.
    pub(crate) async fn read_for_calls<T, F>(
        &self,
        operation: &'static str,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &ReadBudget) -> Result<T, StateStoreError> + Send + 'static,
    {
        self.ensure_ready(operation).await?;
        let mut work = move |connection: &mut PgConnection| {
            let budget = ReadBudget::new(None);
            work(connection, &budget)
        };
        self.repeat(operation, move |connection, _| {
            read_once(connection, &mut work)
        })
        .await
    }

    /// Runs a caller's closure in a read transaction: one snapshot.
    pub(crate) async fn read_closure<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let _call = self.enter(operation)?;
        self.ensure_ready(operation).await?;
        let (id, before) = (self.id, self.before_snapshot);
        let mut closure = Some(work);
        self.repeat(operation, move |connection, _| {
            read_in_snapshot(connection, id, before, &mut closure)
        })
        .await
    }

    /// Writes, in a transaction of its own. It takes the locks first, in their order.
    pub(crate) async fn write<T, F>(
        &self,
        operation: &'static str,
        kind: WriteKind,
        locks: Vec<i64>,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let _call = self.enter(operation)?;
        self.write_for_calls(operation, kind, locks, work).await
    }

    /// As [`write`](Self::write), for calls that are counted.
    pub(crate) async fn write_for_calls<T, F>(
        &self,
        operation: &'static str,
        kind: WriteKind,
        locks: Vec<i64>,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        self.ensure_ready(operation).await?;
        let whose = match kind {
            WriteKind::Closure(_) => Work::Closure(self.id),
            _ => Work::Own,
        };
        let attempt = move |connection: &mut PgConnection, life: &mut Option<String>| {
            write_once(connection, life, whose, &locks, &mut work)
        };
        self.repeat_as(operation, whose, attempt).await
    }

    /// Refuses new calls, waits for those in flight, and closes the connections.
    pub(crate) async fn close(&self) -> Result<(), StateStoreError> {
        refuse_reentry(self.id, "close")?;
        self.calls.finish().await;
        self.connections.close().await;
        Ok(())
    }

    /// Runs work outside every transaction of the store.
    async fn plain<T: Send + 'static>(
        &self,
        operation: &'static str,
        mut work: impl FnMut(&mut PgConnection) -> Result<T, StateStoreError> + Send + 'static,
    ) -> Result<T, StateStoreError> {
        self.repeat(operation, move |connection, _| {
            read_once(connection, &mut work)
        })
        .await
    }

    /// Tries an operation until it is done: again where others were in its way, and where the server went away before anything
    /// was kept, for as long as a call waits for a connection.
    async fn repeat<T, F>(&self, operation: &'static str, attempt: F) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut Option<String>) -> (Tried<T>, Afterwards) + Send + 'static,
    {
        self.repeat_as(operation, Work::Own, attempt).await
    }

    /// As [`repeat`](Self::repeat); a caller's closure is called once.
    async fn repeat_as<T, F>(
        &self,
        operation: &'static str,
        whose: Work,
        attempt: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut Option<String>) -> (Tried<T>, Afterwards) + Send + 'static,
    {
        let started = Instant::now();
        let patience = self.connections.patience();
        let mut slot = self.connections.acquire(operation).await?;
        let mut attempt = attempt;
        let mut collisions = 0;
        loop {
            let tried = match slot.connect().await {
                Ok(()) => {
                    let (back, tried) = self.try_once(slot, attempt).await?;
                    (slot, attempt) = back;
                    tried
                }
                Err(error) if error.is_transient() => Tried::Again(error),
                Err(error) => Tried::Done(Err(error)),
            };
            let (error, pause) = match tried {
                Tried::Done(result) => return result.map_err(|error| error.during(operation)),
                Tried::Unknown {
                    transaction,
                    value,
                    error,
                } => {
                    self.is_ready.store(false, Ordering::Release);
                    let settled;
                    (slot, settled) = match self.settle(slot, transaction, started).await {
                        Ok(settled) => settled,
                        // It could not even be asked.
                        Err(_) => {
                            return Err(StateStoreError::OutcomeUnknown {
                                operation,
                                cause: error.to_string().into(),
                            });
                        }
                    };
                    match settled {
                        Some(true) => return Ok(value),
                        Some(false) if matches!(whose, Work::Own) => (error, Duration::ZERO),
                        Some(false) => return Err(error.during(operation)),
                        None => {
                            return Err(StateStoreError::OutcomeUnknown {
                                operation,
                                cause: error.to_string().into(),
                            });
                        }
                    }
                }
                Tried::Again(error) if error.kind() == ErrorKind::ConnectionLost => {
                    self.connections.forget_idle();
                    // It may have crashed: the next call looks.
                    self.is_ready.store(false, Ordering::Release);
                    (error, SERVER_PAUSE)
                }
                Tried::Again(error) => {
                    collisions += 1;
                    if collisions > COLLISIONS {
                        return Err(error.during(operation));
                    }
                    (error, COLLISION_PAUSE * collisions)
                }
            };
            if started.elapsed() + pause > patience {
                return Err(error.during(operation));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_once<T, F>(
        &self,
        mut slot: Slot,
        mut attempt: F,
    ) -> Result<((Slot, F), Tried<T>), StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut Option<String>) -> (Tried<T>, Afterwards) + Send + 'static,
    {
        on_blocking_pool(&current_or(&self.runtime), move || {
            let tried = match slot.run(|connection, life| attempt(connection, life)) {
                Ok(tried) => tried,
                Err(error) if error.is_transient() => Tried::Again(error),
                Err(error) => Tried::Done(Err(error)),
            };
            Ok(((slot, attempt), tried))
        })
        .await
    }

    /// Asks the server what became of a transaction, once it answers again; `None` where it can't be told in time.
    async fn settle(
        &self,
        mut slot: Slot,
        transaction: Transaction,
        started: Instant,
    ) -> Result<(Slot, Option<bool>), StateStoreError> {
        let patience = self.connections.patience();
        loop {
            let asked = match slot.connect().await {
                Ok(()) => {
                    let transaction = transaction.clone();
                    let ask = move |connection: &mut PgConnection, _: &mut Option<String>| {
                        let asked = was_committed(connection, &transaction);
                        let afterwards = match asked {
                            Ok(_) => Afterwards::Keep,
                            Err(_) => Afterwards::Close,
                        };
                        (Tried::Done(asked), afterwards)
                    };
                    match self.try_once(slot, ask).await? {
                        ((back, _), Tried::Done(asked)) => {
                            slot = back;
                            asked
                        }
                        ((back, _), _) => {
                            slot = back;
                            Ok(None)
                        }
                    }
                }
                Err(error) => Err(error),
            };
            match asked {
                Ok(Some(was_committed)) => return Ok((slot, Some(was_committed))),
                // A server that never heard of it isn't the one that it was on.
                Err(error) if error.kind() != ErrorKind::ConnectionLost => return Ok((slot, None)),
                _ if started.elapsed() + SERVER_PAUSE > patience => return Ok((slot, None)),
                _ => tokio::time::sleep(SERVER_PAUSE).await,
            }
        }
    }

    async fn ensure_ready(&self, operation: &'static str) -> Result<(), StateStoreError> {
        if self.is_ready.load(Ordering::Acquire) {
            return Ok(());
        }
        self.plain(operation, |connection| {
            schema::require_whole(connection)?;
            witness_crashes(connection)
        })
        .await?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    fn enter(&self, operation: &'static str) -> Result<SemaphorePermit<'_>, StateStoreError> {
        self.calls.enter(self.id, operation)
    }
}
