//! How much may wait in the write queue: so many operations, and so many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::engine::runtime::AcquireTimeout;
use crate::error::StateStoreError;

pub(super) struct Rooms {
    requests: Bound,
    /// Counted in units of [`UNIT`].
    bytes: Bound,
    /// How many wait for room.
    waiting: AtomicUsize,
}

/// A request's place in the queue, until it is answered.
pub(super) struct Room {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// A semaphore hands out 32 bits of permits at once, and fewer permits than there may be bytes.
const UNIT: usize = 1024;

impl Rooms {
    pub(super) fn new(operations: usize, bytes: usize) -> Self {
        Self {
            requests: Bound::new(operations, 1, "operations"),
            bytes: Bound::new(bytes, UNIT, "bytes"),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes room for a request of so many bytes, if there is some. A request that is larger than all the room there is takes
    /// all of it.
    ///
    /// # Errors
    /// `Closed`.
    pub(super) fn try_take(&self, bytes: usize) -> Result<Option<Room>, StateStoreError> {
        let Some(request) = self.requests.try_take(1)? else {
            return Ok(None);
        };
        let bytes = self.bytes.try_take(bytes)?;
        Ok(bytes.map(|bytes| Room {
            _request: request,
            _bytes: bytes,
        }))
    }

    /// Counts somebody who is going to wait for room.
    pub(super) fn wait_for(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self)
    }

    /// Returns whether anybody waits for room.
    pub(super) fn are_awaited(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// Somebody who waits for room; counted while it lives.
pub(super) struct Waiting<'r>(&'r Rooms);

impl Waiting<'_> {
    /// Takes room for a request of so many bytes as soon as there is some, and waits for it as long as a call may.
    ///
    /// # Errors
    /// `QueueFull`, `Closed`.
    pub(super) async fn take(
        self,
        bytes: usize,
        timeout: &AcquireTimeout,
    ) -> Result<Room, StateStoreError> {
        Ok(Room {
            _request: self.0.requests.take(1, timeout).await?,
            _bytes: self.0.bytes.take(bytes, timeout).await?,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Bound {
    permits: Arc<Semaphore>,
    limit: usize,
    unit: usize,
    name: &'static str,
}

impl Bound {
    fn new(limit: usize, unit: usize, name: &'static str) -> Self {
        let permits = limit.div_ceil(unit).min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            limit,
            unit,
            name,
        }
    }

    fn permits_for(&self, amount: usize) -> u32 {
        let most = self.limit.div_ceil(self.unit).min(Semaphore::MAX_PERMITS);
        let wanted = amount.div_ceil(self.unit).clamp(1, most);
        u32::try_from(wanted).unwrap_or(u32::MAX)
    }

    fn try_take(&self, amount: usize) -> Result<Option<OwnedSemaphorePermit>, StateStoreError> {
        let permits = Arc::clone(&self.permits);
        match permits.try_acquire_many_owned(self.permits_for(amount)) {
            Ok(permit) => Ok(Some(permit)),
            Err(TryAcquireError::Closed) => Err(StateStoreError::Closed),
            Err(TryAcquireError::NoPermits) => Ok(None),
        }
    }

    async fn take(
        &self,
        amount: usize,
        timeout: &AcquireTimeout,
    ) -> Result<OwnedSemaphorePermit, StateStoreError> {
        let permit = Arc::clone(&self.permits).acquire_many_owned(self.permits_for(amount));
        match timeout.wait(permit).await {
            Some(permit) => permit.map_err(|_| StateStoreError::Closed),
            None => Err(StateStoreError::QueueFull {
                capacity: self.limit,
                unit: self.name,
            }),
        }
    }
}
