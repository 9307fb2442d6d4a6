//! What every leader of a queue works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::indexing::Indexing;
use super::queue::WriteQueue;
use crate::engine::adaptive::{ArrivalPredictor, LatencyPredictor};
use crate::engine::file::DatabaseFile;
use crate::engine::pragma::Role;
use crate::engine::turnstile::Turnstile;
use crate::engine::wal::Checkpointer;

/// The database whose writer it is. Whoever holds it keeps it open, and with it the file's place among those that are.
pub(in crate::engine) trait OpenDatabase: Send + Sync {
    /// Has the events indexed that wait, as a write that nobody waits for.
    fn index_soon(self: Arc<Self>);
}

/// What a leader takes over from the one before it: nothing of it is a leader's own.
pub(super) struct Context {
    pub(super) queue: WriteQueue,
    pub(super) file: DatabaseFile,
    pub(super) role: Role,
    pub(super) busy_timeout: Duration,
    pub(super) runtime: Handle,
    /// Of groups that may run on a caller's thread.
    pub(super) latency: LatencyPredictor,
    /// Of other writers at the same time. On one runtime thread each would find the queue without a leader, and commit
    /// alone, before the next is polled; so one that expects company lets the others queue first.
    pub(super) company: ArrivalPredictor,
    /// Of callers who have been answered: that they come back at once with their next write.
    pub(super) returning: ArrivalPredictor,
    pub(super) turnstile: Turnstile,
    pub(super) checkpointer: Arc<Checkpointer>,
    pub(super) indexing: Arc<Indexing>,
    /// Of groups in which requests fail half-way.
    pub(super) guards: Guards,
    /// Whether a commit failed whose outcome is unknown, and hasn't been settled since: nothing is written before that.
    pub(super) is_unsettled: AtomicBool,
    /// Whether a write found the disk full: the log may hold what is free once it is moved.
    pub(super) needs_space: AtomicBool,
    /// Whether the next transaction writes into the log whose it is: the log may have begun again without that.
    pub(super) marks_log: AtomicBool,
}

/// How many groups have still savepoints, since a request failed half-way.
///
/// A savepoint costs a third of a step: SQLite keeps a copy of every page that changes within (`docs/performance.md`). So a
/// group has none until a request fails half-way. It is rolled back then, and run again with one savepoint a request.
#[derive(Debug, Default)]
pub(super) struct Guards(AtomicU32);

/// Where one fails, more do, as writers who meet in one row.
const GUARDED_GROUPS: u32 = 16;

impl Guards {
    pub(super) fn are_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Takes note of how a guarded group ended.
    pub(super) fn record(&self, has_failed: bool) {
        if has_failed {
            self.raise();
        } else {
            let left = self.0.load(Ordering::Relaxed).saturating_sub(1);
            self.0.store(left, Ordering::Relaxed);
        }
    }

    pub(super) fn raise(&self) {
        self.0.store(GUARDED_GROUPS, Ordering::Relaxed);
    }
}

impl Context {
    /// Returns whether something has to be done first that takes its time.
    pub(super) fn has_to_recover(&self) -> bool {
        self.is_unsettled.load(Ordering::Acquire) || self.needs_space.load(Ordering::Acquire)
    }
}
