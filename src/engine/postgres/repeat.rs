//! Operations that begin again: where others were in their way, and where the server went away.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diesel::PgConnection;

use super::connections::Slot;
use super::handle::Handle;
use super::transaction::{Afterwards, Transaction, Tried, Work, was_committed};
use crate::engine::runtime::{current_or, on_blocking_pool};
use crate::error::{ErrorKind, StateStoreError};

/// How often an operation begins again because others were in its way, and how long it waits before each.
const COLLISIONS: u32 = 16;
const COLLISION_PAUSE: Duration = Duration::from_millis(1);
/// How long it waits before it asks again for a server that is away.
const SERVER_PAUSE: Duration = Duration::from_millis(50);

impl Handle {
    /// Tries an operation until it is done: again where others were in its way, and where the server went away before anything
    /// was kept, for as long as a call waits for a connection.
    pub(super) async fn repeat<T, F>(
        &self,
        operation: &'static str,
        attempt: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut Option<String>) -> (Tried<T>, Afterwards) + Send + 'static,
    {
        self.repeat_as(operation, Work::Own, attempt).await
    }

    /// As [`repeat`](Self::repeat); a caller's closure is called once.
    pub(super) async fn repeat_as<T, F>(
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
}
