//! A caller's closure on a connection: whether it panicked, escaped, or came back to the store.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StateStoreError;

/// Names a core in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CoreId(u64);

impl CoreId {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

thread_local! {
    /// The core whose closure runs on this thread.
    static RUNNING: Cell<Option<CoreId>> = const { Cell::new(None) };
}

/// Refuses a call of the async store from inside one of its own closures: it would wait for itself.
pub(super) fn refuse_reentry(core: CoreId, operation: &'static str) -> Result<(), StateStoreError> {
    if RUNNING.get() == Some(core) {
        return Err(StateStoreError::Reentrant { operation });
    }
    Ok(())
}

/// Runs work that is known to belong to a closure of this core.
pub(super) fn marked<T>(core: CoreId, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<CoreId>);
    impl Drop for Restore {
        fn drop(&mut self) {
            RUNNING.set(self.0);
        }
    }
    let _restore = Restore(RUNNING.replace(Some(core)));
    work()
}

/// Turns a panic into an error.
pub(super) fn caught<T>(
    work: impl FnOnce() -> Result<T, StateStoreError>,
) -> Result<T, StateStoreError> {
    // What the closure may have left half-done is its transaction, and that is rolled back.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(StateStoreError::Panicked {
            message: message(panic.as_ref()),
        })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "of no text".to_owned()
    }
}
