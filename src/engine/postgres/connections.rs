//! The connections of one store: taken from deadpool once, and kept.
//!
//! deadpool asks each connection whether it still works before it hands it out: one more way to the server an operation. Here one
//! that was cut off is noticed when it is used, and the operation begins again on another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_diesel::postgres::{Manager, Object, Pool, Runtime};
use diesel::connection::{CacheSize, Connection, SimpleConnection};
use diesel::{PgConnection, QueryResult};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::{Address, quoted_name};
use super::transaction::Afterwards;
use crate::engine::options::{Durability, StoreOptions};
use crate::engine::runtime::{AcquireTimeout, drop_on_blocking_pool};
use crate::error::{DatabaseError, DatabaseFailure, StateStoreError};

/// How long the server lets a statement run, and a transaction wait for its next one.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) struct Connections {
    address: Address,
    pool: Pool,
    slots: Arc<Semaphore>,
    count: u32,
    idle: Mutex<Vec<Kept>>,
    timeout: AcquireTimeout,
    settings: String,
    runtime: Handle,
}

impl Connections {
    pub(super) fn new(
        address: Address,
        options: &StoreOptions,
        runtime: Handle,
    ) -> Result<Arc<Self>, StateStoreError> {
        let manager = Manager::new(address.url(), Runtime::Tokio1);
        let pool = Pool::builder(manager)
            .max_size(options.readers)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| {
                StateStoreError::DatabaseError(DatabaseError::new(DatabaseFailure::Other, error))
            })?;
        Ok(Arc::new(Self {
            settings: settings(&address, options),
            address,
            pool,
            slots: Arc::new(Semaphore::new(options.readers)),
            // At the most 1024: `StoreOptions::check`.
            count: u32::try_from(options.readers).unwrap_or(1),
            idle: Mutex::new(Vec::new()),
            timeout: AcquireTimeout::new(options.acquire_timeout, runtime.clone()),
            runtime,
        }))
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How long a call waits for a connection, and for a server that is away.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.limit()
    }

    /// Returns a place for an operation as soon as there is one.
    ///
    /// # Errors
    /// `Timeout` after the acquire timeout; `Closed`.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        operation: &'static str,
    ) -> Result<Slot, StateStoreError> {
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                let slot = Arc::clone(&self.slots).acquire_owned();
                let waited = self.timeout.wait(slot).await;
                let waited = waited.ok_or_else(|| StateStoreError::Timeout {
                    operation,
                    waited: self.timeout.limit(),
                    reason: format!(
                        "all {} connections are in use, try again, or end a closure",
                        self.count
                    ),
                })?;
                waited.map_err(|_| StateStoreError::Closed)?
            }
        };
        Ok(Slot {
            connections: Arc::clone(self),
            object: None,
            life: None,
            is_new: false,
            _slot: slot,
        })
    }

    /// Waits for those that are in use, and closes all.
    pub(super) async fn close(&self) {
        drop(self.slots.acquire_many(self.count).await);
        self.slots.close();
        let idle = std::mem::take(&mut *self.lock_idle());
        self.pool.close();
        let _inside = self.runtime.enter();
        drop_on_blocking_pool(idle);
    }

    /// Closes those that are kept: where one was cut off, so were the others.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.lock_idle());
        for kept in idle {
            drop(Object::take(kept.object));
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // deadpool closes them on a runtime; this thread may have none.
        let _inside = self.runtime.enter();
        self.forget_idle();
        self.pool.close();
    }
}

/// What every connection is told first.
fn settings(address: &Address, options: &StoreOptions) -> String {
    let mut settings = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; SET client_min_messages = warning;",
        STATEMENT_TIMEOUT.as_millis(),
        options.busy_timeout.as_millis().max(1),
        IDLE_TIMEOUT.as_millis(),
    );
    // As Diesel has it, which says so once a connection.
    settings.push_str(" SET TIME ZONE 'UTC'; SET client_encoding = 'UTF8';");
    // What the server says is known by its English text. Only a superuser may choose.
    settings.push_str(
        " SELECT set_config('lc_messages', 'C', false) WHERE current_setting('is_superuser') = 'on';",
    );
    // The role or the database may have others.
    settings.push_str(
        " SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;",
    );
    settings.push_str(match options.durability {
        Durability::Full => " SET synchronous_commit = on;",
        Durability::Relaxed => " SET synchronous_commit = off;",
    });
    if let Some(schema) = address.schema() {
        settings.push_str(&format!(" SET search_path = {};", quoted_name(schema)));
    }
    settings
}

/// A connection that is kept, and in which life of the server it was opened: a crash ends both.
struct Kept {
    object: Object,
    life: Option<String>,
}

/// A place for one operation, with a connection while it has one.
pub(super) struct Slot {
    connections: Arc<Connections>,
    object: Option<Object>,
    /// In which life of the server the connection was opened, once that was asked for.
    life: Option<String>,
    /// Whether the connection still has to be told its settings.
    is_new: bool,
    _slot: OwnedSemaphorePermit,
}

impl Slot {
    /// Takes a connection that is kept, or opens one, unless there is one.
    pub(super) async fn connect(&mut self) -> Result<(), StateStoreError> {
        if self.object.is_some() {
            return Ok(());
        }
        let kept = self.connections.lock_idle().pop();
        self.object = Some(match kept {
            Some(Kept { object, life }) => {
                self.life = life;
                object
            }
            None => {
                self.is_new = true;
                let opened = self.connections.pool.get().await;
                opened.map_err(|error| unreachable(error, &self.connections.address))?
            }
        });
        Ok(())
    }

    /// Runs work on the connection, and closes it where the work says so, or where it can't be told its settings. On a thread
    /// that may wait.
    pub(super) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut PgConnection, &mut Option<String>) -> (T, Afterwards),
    ) -> Result<T, StateStoreError> {
        let ran = self.tell_settings().and_then(|()| self.run_and_tidy(work));
        self.end(ran)
    }

    /// As [`run`](Self::run), before the connection is told anything: it may be somebody else's.
    pub(super) fn examine<T>(
        &mut self,
        work: impl FnOnce(&mut PgConnection) -> (T, Afterwards),
    ) -> Result<T, StateStoreError> {
        let ran = self.run_and_tidy(|connection, _| work(connection));
        self.end(ran)
    }

    fn end<T>(
        &mut self,
        ran: Result<(T, Afterwards), StateStoreError>,
    ) -> Result<T, StateStoreError> {
        if !matches!(ran, Ok((_, Afterwards::Keep))) {
            self.close();
        }
        ran.map(|(value, _)| value)
    }

    fn tell_settings(&mut self) -> Result<(), StateStoreError> {
        if self.is_new {
            let object = self.object.as_ref().ok_or(StateStoreError::Closed)?;
            let mut connection = object.lock().map_err(|_| StateStoreError::Closed)?;
            connection.batch_execute(&self.connections.settings)?;
            drop(connection);
            self.is_new = false;
        }
        Ok(())
    }

    fn run_and_tidy<T>(
        &mut self,
        work: impl FnOnce(&mut PgConnection, &mut Option<String>) -> (T, Afterwards),
    ) -> Result<(T, Afterwards), StateStoreError> {
        let object = self.object.as_ref().ok_or(StateStoreError::Closed)?;
        let mut connection = object.lock().map_err(|_| StateStoreError::Closed)?;
        let (value, mut afterwards) = work(&mut connection, &mut self.life);
        if afterwards == Afterwards::Reset {
            afterwards = match reset(&mut connection, &self.connections.settings) {
                Ok(()) => Afterwards::Keep,
                Err(_) => Afterwards::Close,
            };
        }
        Ok((value, afterwards))
    }

    fn close(&mut self) {
        self.life = None;
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// Makes a connection as if it were new, which is cheaper than a new one.
fn reset(connection: &mut PgConnection, settings: &str) -> QueryResult<()> {
    connection.batch_execute("DISCARD ALL")?;
    // The server has forgotten the statements that Diesel knows by their names.
    connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    connection.set_prepared_statement_cache_size(CacheSize::Unbounded);
    for notification in connection.notifications_iter() {
        notification?;
    }
    connection.batch_execute(settings)
}

fn unreachable(error: deadpool_diesel::PoolError, address: &Address) -> StateStoreError {
    match error {
        deadpool_diesel::PoolError::Backend(deadpool_diesel::Error::Connection(error)) => {
            address.refusal(&error).unwrap_or_else(|| error.into())
        }
        deadpool_diesel::PoolError::Closed => StateStoreError::Closed,
        other => StateStoreError::DatabaseError(DatabaseError::new(
            DatabaseFailure::CannotOpen,
            other.to_string(),
        )),
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        match self.object.take() {
            Some(object) if !self.is_new && !object.is_mutex_poisoned() => {
                let life = self.life.take();
                self.connections.lock_idle().push(Kept { object, life });
            }
            _ => {}
        }
    }
}
