//! Moves the write-ahead log into the database, beside the lane and not in it.
//!
//! SQLite's own way is to do so in whatever commit finds 1000 pages in the log: one writer in so many waits for it, and
//! where that one is a thread of the runtime, so do the tasks on it. Here a connection of its own does it on the blocking
//! pool, without locking anybody out (`PASSIVE`, <https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>). SQLite's
//! way is left for a log that grows faster than it can be moved: it takes a moment without writers to begin it anew.
//!
//! A read that stays open keeps what it sees in the log. So that the log can't fill the disk, it has a limit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::runtime::Handle;

use super::closure::caught;
use super::connect::{DatabaseFile, Role};
use super::held::Held;
use super::options::StoreOptions;
use crate::error::StateStoreError;

/// Pages in the log at which they are moved: SQLite's own default.
const PAGES: u64 = 1000;
/// Pages in the log at which a commit moves what is left itself, so that the log begins anew: 16 MiB. A file that only grows
/// is slower to make safe than one that is written over: its length has to be made safe as well.
pub(super) const MOST_PAGES: u32 = 4000;
/// The log file is cut to this size when it begins anew, in bytes.
pub(super) const KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// A page and its header (<https://www.sqlite.org/fileformat.html#the_write_ahead_log>).
const FRAME_BYTES: u64 = 4096 + 24;
/// Operations between two looks at the most: a guess from large ones must not outlive them.
const MOST_OPERATIONS: u64 = 4096;

pub(super) struct Checkpoints {
    file: DatabaseFile,
    busy_timeout: Duration,
    runtime: Handle,
    limit: u64,
    /// Operations since the log was looked at.
    operations: AtomicU64,
    /// After how many the next look is due.
    due: AtomicU64,
    is_looking: AtomicBool,
    /// Bytes that were left in the log because somebody reads them.
    held_back: AtomicU64,
    log: Mutex<Log>,
}

struct Log {
    connection: Option<Held>,
    /// Pages at the last look.
    pages: u64,
    /// Held-back bytes at which the next warning is due.
    warn_at: u64,
    is_closed: bool,
}

/// What `wal_checkpoint` answers.
#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = BigInt)]
    log: i64,
    #[diesel(sql_type = BigInt)]
    checkpointed: i64,
}

impl Checkpoints {
    pub(super) fn new(file: &DatabaseFile, options: &StoreOptions, runtime: Handle) -> Self {
        Self {
            file: file.clone(),
            busy_timeout: options.busy_timeout,
            runtime,
            limit: options.log_limit,
            operations: AtomicU64::new(0),
            due: AtomicU64::new(1),
            is_looking: AtomicBool::new(false),
            held_back: AtomicU64::new(0),
            log: Mutex::new(Log {
                connection: None,
                pages: 0,
                warn_at: KEPT_BYTES,
                is_closed: false,
            }),
        }
    }

    /// Notes operations that were committed; moves the log where that is due, on the blocking pool.
    pub(super) fn note(self: &Arc<Self>, operations: usize) {
        let operations = operations as u64;
        let since = self.operations.fetch_add(operations, Ordering::Relaxed) + operations;
        if since < self.due.load(Ordering::Relaxed) || self.is_looking.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let looking = Looking(Arc::clone(self));
        // A runtime that is gone drops it; then SQLite moves the log in some commit.
        drop(self.runtime.spawn_blocking(move || {
            if let Err(error) = looking.0.move_log() {
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            }
        }));
    }

    /// Whether readers hold back as much as the log may hold.
    pub(super) fn is_full(&self) -> bool {
        self.held_back.load(Ordering::Acquire) >= self.limit
    }

    /// Moves what can be moved of a log that is full; an error if that leaves it full. On a thread that may wait.
    pub(super) fn make_room(&self) -> Result<(), StateStoreError> {
        self.move_log()?;
        let bytes = self.held_back.load(Ordering::Acquire);
        if bytes >= self.limit {
            return Err(StateStoreError::LogFull {
                bytes,
                limit: self.limit,
            });
        }
        Ok(())
    }

    fn move_log(&self) -> Result<(), StateStoreError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.is_closed {
            return Ok(());
        }
        let operations = self.operations.swap(0, Ordering::Relaxed);
        let answer = caught(|| {
            if log.connection.is_none() {
                log.connection = Some(Held::open(
                    &self.file,
                    Role::Checkpointer,
                    self.busy_timeout,
                )?);
            }
            let Some(connection) = &mut log.connection else {
                return Err(StateStoreError::Closed);
            };
            connection.run(true, |connection| {
                let checkpoint = diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)");
                Ok(checkpoint.get_result::<Answer>(connection)?)
            })
        });
        let answer = answer.inspect_err(|_| log.connection = None)?;
        // Both are -1 where there is no log.
        let pages = u64::try_from(answer.log).unwrap_or(0);
        let left = pages.saturating_sub(u64::try_from(answer.checkpointed).unwrap_or(0));
        let grown = if pages < log.pages {
            pages
        } else {
            pages - log.pages
        };
        log.pages = pages;
        let due = (operations * PAGES / grown.max(1)).clamp(1, MOST_OPERATIONS);
        self.due.store(due, Ordering::Relaxed);
        // What a writer has added during the look is left too, and isn't held back by anybody.
        let bytes = if left < PAGES { 0 } else { pages * FRAME_BYTES };
        self.held_back.store(bytes, Ordering::Release);
        if bytes >= log.warn_at.min(self.limit) {
            log.warn_at = bytes * 2;
            tracing::warn!(
                bytes,
                limit = self.limit,
                "a read that is still open keeps the write-ahead log from being moved into the database"
            );
        } else if bytes == 0 {
            log.warn_at = KEPT_BYTES;
        }
        Ok(())
    }

    /// Moves nothing from now on; waits for what is being moved. On a thread that may wait.
    pub(super) fn close(&self) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.is_closed = true;
        log.connection = None;
    }
}

/// Someone is looking at the log, or on the way to.
struct Looking(Arc<Checkpoints>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.is_looking.store(false, Ordering::Release);
    }
}
