//! Where blocking work runs.

use tokio::runtime::Handle;

use super::closure::caught;
use crate::error::StateStoreError;

/// The runtime that polls now, or the store's own: a future of the store may be polled by any executor.
pub(super) fn current_or(own: &Handle) -> Handle {
    Handle::try_current().unwrap_or_else(|_| own.clone())
}

/// Runs blocking work on the runtime's blocking pool.
pub(super) async fn on_blocking_pool<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, StateStoreError> + Send + 'static,
) -> Result<T, StateStoreError> {
    let span = tracing::Span::current();
    // A panic is caught inside; what is left is a runtime that is shutting down.
    runtime
        .spawn_blocking(move || span.in_scope(|| caught(work)))
        .await
        .unwrap_or(Err(StateStoreError::Closed))
}

/// Drops what takes its time to drop where that may block: on the blocking pool, or here if there is no runtime.
pub(super) fn drop_elsewhere<T: Send + 'static>(value: T) {
    match Handle::try_current() {
        // A runtime that is gone drops it at once.
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(value))),
        Err(_) => drop(value),
    }
}
