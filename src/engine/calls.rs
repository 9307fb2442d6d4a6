//! The calls that are in flight on one store's handle.

use std::sync::Arc;

#[cfg(feature = "postgres")]
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::transaction::{DatabaseId, refuse_reentry};
use crate::error::StateStoreError;

/// The most calls at once: more than there can be.
const MOST: u32 = 1 << 28;

/// Each call in flight holds one permit; closing takes them all.
pub(super) struct Calls(Arc<Semaphore>);

/// A call in flight, until the last of its clones is dropped.
#[cfg(feature = "postgres")]
#[derive(Clone)]
pub(crate) struct Call {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST as usize)))
    }

    /// Counts a call until its permit is dropped.
    ///
    /// # Errors
    /// `Reentrant` from inside a closure of the database, `Closed` after closing.
    pub(super) fn enter(
        &self,
        database: DatabaseId,
        operation: &'static str,
    ) -> Result<SemaphorePermit<'_>, StateStoreError> {
        refuse_reentry(database, operation)?;
        self.0.try_acquire().map_err(|_| StateStoreError::Closed)
    }

    /// As [`enter`](Self::enter), for one that outlives who made it.
    #[cfg(feature = "postgres")]
    pub(super) fn enter_for_others(
        &self,
        database: DatabaseId,
        operation: &'static str,
    ) -> Result<Call, StateStoreError> {
        refuse_reentry(database, operation)?;
        let permit = Arc::clone(&self.0).try_acquire_owned();
        let permit = permit.map_err(|_| StateStoreError::Closed)?;
        Ok(Call {
            _permit: Arc::new(permit),
        })
    }

    /// Returns whether there are others beside the caller's.
    pub(super) fn has_company(&self) -> bool {
        self.0.available_permits() < MOST as usize - 1
    }

    /// Waits for those in flight, and refuses new ones. May be done again.
    pub(super) async fn finish(&self) {
        let all = self.0.acquire_many(MOST).await;
        self.0.close();
        drop(all);
    }
}
