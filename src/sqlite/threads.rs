//! Where blocking work runs.

use std::cell::Cell;
use std::time::Duration;

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

/// How long tasks may do work on a runtime's thread before one of them gives way, where there are others and where not.
///
/// tokio looks at timers and sockets after 61 polls of tasks, and its own budget would let each of those do 128 calls that
/// never wait: a timer would be late by as much as 50 ms.
const BUSY_SHARE: Duration = Duration::from_micros(25);
const LONE_SHARE: Duration = Duration::from_micros(250);

thread_local! {
    /// Work done on this thread since a task last gave way.
    static DONE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Gives way to other tasks, after work that was done on their thread.
pub(super) async fn give_way(took: Duration, has_company: bool) {
    let done = DONE.get() + took;
    let share = if has_company { BUSY_SHARE } else { LONE_SHARE };
    if done < share {
        DONE.set(done);
        tokio::task::consume_budget().await;
    } else {
        DONE.set(Duration::ZERO);
        tokio::task::yield_now().await;
    }
}

/// Drops what takes its time to drop where that may block: on the blocking pool, or here if there is no runtime.
pub(super) fn drop_elsewhere<T: Send + 'static>(value: T) {
    match Handle::try_current() {
        // A runtime that is gone drops it at once.
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(value))),
        Err(_) => drop(value),
    }
}
