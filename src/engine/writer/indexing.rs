//! When the full-text index is brought up to date: in blocks, each in a transaction of its own, so that no write pays for it.
//!
//! FTS5 merges what it has written before, now and then for 20 ms; where each commit indexed its own events, one in a
//! hundred waited for that (`docs/performance.md`). A search looks itself through what waits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;

use super::kind::{WriteKind, WriteSize};
use super::request::{Ran, Request};
use crate::commit_notes::CommitNotes;
use crate::engine::event_indexer::EventIndexer;
use crate::engine::runtime::catch_panic;
use crate::error::{ErrorKind, StateStoreError};

/// At how many events that wait a block is indexed at once; fewer wait for a moment in which none is appended. So few that a
/// search looks through them in no time, and so many that of a hundred appends fewer than one waits for a block.
pub(super) const BLOCK_EVENTS: usize = 240;

/// How long it is left alone after a failure: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known of the events that wait to be indexed.
pub(in crate::engine) struct Indexing {
    indexer: &'static dyn EventIndexer,
    /// How many, as far as this process appended them.
    pub(super) waiting: AtomicUsize,
    /// Commits that appended some.
    pub(super) appends: AtomicU64,
    /// Whether a block is in the queue.
    pub(super) is_queued: AtomicBool,
    /// Whether somebody waits for the moment of rest.
    pub(super) has_alarm: AtomicBool,
    failures: Mutex<Option<Failures>>,
}

/// Failures since the last success.
#[derive(Debug, Clone, Copy)]
struct Failures {
    pause: Duration,
    until: Instant,
}

impl Indexing {
    pub(super) fn new(indexer: &'static dyn EventIndexer) -> Self {
        Self {
            indexer,
            waiting: AtomicUsize::new(0),
            appends: AtomicU64::new(0),
            is_queued: AtomicBool::new(false),
            has_alarm: AtomicBool::new(false),
            failures: Mutex::new(None),
        }
    }

    /// Counts what a caller's closure wrote through the connection itself, before it commits.
    pub(super) fn count_unseen(&self, connection: &mut SqliteConnection, notes: &mut CommitNotes) {
        if notes.lent_within.is_some() {
            let seen = notes.last_event_before;
            let above = catch_panic(|| Ok(self.indexer.events_above(connection, seen)));
            notes.appended = notes.appended.max(above.unwrap_or(1));
        }
    }

    /// Takes note of what a commit appended.
    pub(super) fn record(&self, appended: usize) {
        if appended > 0 {
            self.waiting.fetch_add(appended, Ordering::AcqRel);
            self.appends.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Indexes a block in whatever transaction is open; returns whether more waits.
    pub(in crate::engine) fn index_block(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<bool, StateStoreError> {
        let has_more = catch_panic(|| self.indexer.index_block(connection))?;
        // The rest is the next block, however small.
        let waiting = if has_more { BLOCK_EVENTS } else { 0 };
        self.waiting.store(waiting, Ordering::Release);
        Ok(has_more)
    }

    /// Returns whether a block is to be queued.
    pub(super) fn is_wanted(&self) -> bool {
        !self.is_queued.load(Ordering::Acquire) && self.may_index()
    }

    /// Returns whether anything waits, and may be indexed now.
    pub(in crate::engine) fn may_index(&self) -> bool {
        let is_paused = (*self.failures()).is_some_and(|failures| Instant::now() < failures.until);
        self.waiting.load(Ordering::Acquire) > 0 && !is_paused
    }

    /// Forgets failures: the index was made again.
    pub(in crate::engine) fn forget_failures(&self) {
        *self.failures() = None;
    }

    fn record_failure(&self, error: &StateStoreError) {
        self.waiting.fetch_max(1, Ordering::AcqRel);
        let mut failures = self.failures();
        let pause = match *failures {
            None => {
                warn(error);
                FIRST_PAUSE
            }
            Some(failures) => (failures.pause * 2).min(LONGEST_PAUSE),
        };
        let until = Instant::now() + pause;
        *failures = Some(Failures { pause, until });
    }

    fn failures(&self) -> MutexGuard<'_, Option<Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A block that can't be indexed concerns nobody whose call runs: the events are written.
fn warn(error: &StateStoreError) {
    if error.kind() != ErrorKind::Closed {
        tracing::warn!(%error, "events could not be indexed; a search looks through them itself until that succeeds");
    }
}

/// The request that indexes a block. Nobody waits for its answer.
pub(super) struct Block {
    indexing: Arc<Indexing>,
    has_run: bool,
    failure: Option<ErrorKind>,
}

impl Block {
    pub(super) fn of(indexing: &Arc<Indexing>) -> Box<dyn Request> {
        Box::new(Self {
            indexing: Arc::clone(indexing),
            has_run: false,
            failure: None,
        })
    }
}

impl Request for Block {
    fn kind(&self) -> WriteKind {
        WriteKind::Bulk
    }

    fn size(&self) -> WriteSize {
        WriteSize::SMALL
    }

    fn operation(&self) -> &'static str {
        "events.index"
    }

    fn is_withdrawn(&self) -> bool {
        false
    }

    fn start(&self) -> bool {
        true
    }

    fn run(&mut self, connection: &mut SqliteConnection, _: &mut CommitNotes, _: bool) -> Ran {
        self.has_run = true;
        self.indexing.is_queued.store(false, Ordering::Release);
        match self.indexing.index_block(connection) {
            Ok(_) => Ran::Cleanly,
            Err(error) => {
                self.indexing.record_failure(&error);
                self.failure = Some(error.kind());
                Ran::HalfWay
            }
        }
    }

    fn has_succeeded(&self) -> bool {
        self.has_run && self.failure.is_none()
    }

    fn has_found_disk_full(&self) -> bool {
        self.failure == Some(ErrorKind::DiskFull)
    }

    fn answer(self: Box<Self>) {
        if self.has_succeeded() {
            self.indexing.forget_failures();
        }
    }

    fn fail(self: Box<Self>, failure: &StateStoreError) {
        if self.failure.is_none() {
            self.indexing.record_failure(failure);
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !self.has_run {
            self.indexing.is_queued.store(false, Ordering::Release);
        }
    }
}
