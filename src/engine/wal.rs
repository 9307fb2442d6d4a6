//! Moves the write-ahead log into the database, beside the writer and not in it.
//!
//! SQLite's own way is to do so in whatever commit finds 1000 pages in the log: one writer in so many waits for it, and
//! where that one is a thread of the runtime, so do the tasks on it. Here a connection of its own does it on the blocking
//! pool, without locking anybody out. SQLite's way is left for a log that grows faster than it can be moved: it takes a
//! moment without writers to begin it again.
//!
//! A read that stays open keeps what it sees in the log. So that the log can't fill the disk, it has a limit.

use std::cmp::Ordering as CompareOrdering;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::SqliteConnection;
use tokio::runtime::Handle;

use super::connection::OwnConnection;
use super::file::DatabaseFile;
use super::options::StoreOptions;
use super::pragma::{self, KEPT_WAL_BYTES, LONG_LOG_PAGES, Role, SHORT_LOG_PAGES};
use super::runtime::{catch_panic, current_or};
use super::schema::refuse_foreign_content;
use crate::error::StateStoreError;

/// The log is moved whenever this part of its length has been written. Each time the file is synced, and one to three commits wait
/// for the disk meanwhile; at SQLite's own 1000 pages, one append in a hundred did (`docs/performance.md`).
const MOVES_A_LENGTH: u64 = 2;
/// How many pages of the database there are to one of the log: where an index is large, a commit writes many pages.
const LOG_SHARE: u64 = 8;
/// Pages in the log at which it is plain that reads keep it from beginning again. From then on those are waited for.
const HELD_PAGES: u64 = 2 * LONG_LOG_PAGES as u64;
/// The longest that readers are waited for; writers wait meanwhile.
const READER_WAIT: Duration = Duration::from_millis(20);
/// What each page has before it in the log (<https://www.sqlite.org/fileformat.html#the_write_ahead_log>).
const FRAME_HEADER: u64 = 24;
const DEFAULT_PAGE_BYTES: u64 = 4096;

pub(super) struct Checkpointer {
    file: DatabaseFile,
    runtime: Handle,
    limit: u64,
    /// Pages in the log after the last commit.
    pages: AtomicU64,
    /// Pages in the log when it was last moved.
    moved_at: AtomicU64,
    /// Pages in the log at which the writer has it begin again.
    length: AtomicU32,
    /// Pages of the database when the log was last moved.
    database_pages: AtomicU64,
    /// Bytes of a page in the log.
    frame_bytes: AtomicU64,
    is_running: AtomicBool,
    /// Whether the log was moved since the last commit, so that the next may begin it again.
    has_moved: AtomicBool,
    mover: Mutex<Mover>,
}

/// Who moves the log.
struct Mover {
    connection: Option<OwnConnection>,
    /// Bytes in the log at which the next warning is due.
    warn_at: u64,
    is_closed: bool,
}

impl Checkpointer {
    pub(super) fn new(file: &DatabaseFile, options: &StoreOptions, runtime: Handle) -> Self {
        Self {
            file: file.clone(),
            runtime,
            limit: options.wal_limit,
            pages: AtomicU64::new(0),
            moved_at: AtomicU64::new(0),
            length: AtomicU32::new(SHORT_LOG_PAGES),
            database_pages: AtomicU64::new(0),
            frame_bytes: AtomicU64::new(DEFAULT_PAGE_BYTES + FRAME_HEADER),
            is_running: AtomicBool::new(false),
            has_moved: AtomicBool::new(false),
            mover: Mutex::new(Mover {
                connection: None,
                warn_at: KEPT_WAL_BYTES.min(options.wal_limit),
                is_closed: false,
            }),
        }
    }

    /// Takes note of how many pages a commit left in the log; moves them where that is due, on the blocking pool.
    ///
    /// Returns whether the log has begun again, or may do so with the next commit.
    pub(super) fn record(self: &Arc<Self>, pages: u64) -> bool {
        let before = self.pages.swap(pages, Ordering::AcqRel);
        if pages < before {
            self.moved_at.store(0, Ordering::Release);
        }
        let has_begun_again = pages < before
            || pages >= self.length()
            || self.has_moved.swap(false, Ordering::AcqRel);
        let due = self.moved_at.load(Ordering::Acquire) + self.length() / MOVES_A_LENGTH;
        if pages < due || self.is_running.swap(true, Ordering::AcqRel) {
            return has_begun_again;
        }
        let running = Running(Arc::clone(self));
        // A runtime that is gone drops it, and the next commit tries again.
        drop(current_or(&self.runtime).spawn_blocking(move || {
            if let Err(error) = running.0.checkpoint() {
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            }
        }));
        has_begun_again
    }

    /// Returns at how many pages the writer is to have the log begin again; `is_shared` is whether commits are shared.
    ///
    /// While the log's file grows, each commit pays for its new length. A lone writer of a small database feels that for long, so it
    /// has a short log. Those who share commits fill a long one soon, and with a large index each move of a short one is felt.
    pub(super) fn next_length(&self, current: u32, is_shared: bool) -> u32 {
        let pages = self.pages.load(Ordering::Acquire);
        let share = self.database_pages.load(Ordering::Relaxed) / LOG_SHARE;
        let wanted = match u32::try_from(share) {
            Ok(share) if !is_shared => share.clamp(SHORT_LOG_PAGES, LONG_LOG_PAGES),
            _ => LONG_LOG_PAGES,
        };
        // One commit would have to move what is above a shorter length.
        let half = |length: u32| u64::from(length) / MOVES_A_LENGTH;
        let is_due = match wanted.cmp(&current) {
            CompareOrdering::Less => pages <= half(wanted),
            _ => pages >= half(current),
        };
        let length = if is_due { wanted } else { current };
        self.length.store(length, Ordering::Release);
        length
    }

    fn length(&self) -> u64 {
        u64::from(self.length.load(Ordering::Acquire))
    }

    /// Returns whether the log holds as much as it may.
    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Moves a log that is full, and has it begin again. On a thread that may wait.
    ///
    /// # Errors
    /// `WalFull` if a read keeps the log from beginning again.
    pub(super) fn make_room(&self) -> Result<(), StateStoreError> {
        self.checkpoint()?;
        let bytes = self.bytes();
        if bytes >= self.limit {
            return Err(StateStoreError::WalFull {
                bytes,
                limit: self.limit,
            });
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.pages.load(Ordering::Acquire) * self.frame_bytes.load(Ordering::Relaxed)
    }

    fn checkpoint(&self) -> Result<(), StateStoreError> {
        let mut mover = self.lock_mover();
        if mover.is_closed || self.file.check_place().is_err() {
            // A log that isn't this file's any more is left alone.
            return Ok(());
        }
        refuse_foreign_content(&self.file)?;
        let pages = self.pages.load(Ordering::Acquire);
        let moved_before = self.moved_at.swap(pages, Ordering::AcqRel);
        // Without this a log that is read all the time, by one short read after the other, would never begin again.
        let is_held = pages >= HELD_PAGES || self.is_full();
        let outcome = catch_panic(|| {
            let connection = match &mut mover.connection {
                Some(connection) => connection,
                closed => closed.insert(OwnConnection::open(
                    &self.file,
                    Role::Checkpointer,
                    READER_WAIT,
                )?),
            };
            connection.run(true, |connection| {
                let page = u64::try_from(pragma::page_size(connection)?);
                let frame = page.unwrap_or(DEFAULT_PAGE_BYTES) + FRAME_HEADER;
                self.frame_bytes.store(frame, Ordering::Relaxed);
                let pages = u64::try_from(pragma::page_count(connection)?).unwrap_or(0);
                self.database_pages.store(pages, Ordering::Relaxed);
                if is_held {
                    pragma::checkpoint_restart(connection)
                } else {
                    pragma::checkpoint_passive(connection)
                }
            })
        });
        let outcome = outcome.inspect_err(|_| {
            mover.connection = None;
            // The next commit tries again.
            self.moved_at.store(moved_before, Ordering::Release);
        })?;
        self.has_moved.store(true, Ordering::Release);
        if !is_held {
            return Ok(());
        }
        if !outcome.is_blocked {
            // The next commit begins it again.
            self.pages.store(0, Ordering::Release);
            self.moved_at.store(0, Ordering::Release);
            mover.warn_at = KEPT_WAL_BYTES.min(self.limit);
            return Ok(());
        }
        let bytes = self.bytes();
        if bytes >= mover.warn_at {
            mover.warn_at = bytes * 2;
            tracing::warn!(
                bytes,
                limit = self.limit,
                "a read that is still open keeps the write-ahead log from being moved into the database"
            );
        }
        Ok(())
    }

    /// Waits for a checkpoint that runs: nobody else can move the log meanwhile. On a thread that may wait.
    pub(super) fn settle(&self) {
        drop(self.lock_mover());
    }

    /// Moves nothing from now on; waits for a checkpoint that runs. On a thread that may wait.
    /// Returns the connection, to be closed.
    pub(super) fn close(&self) -> Option<OwnConnection> {
        let mut mover = self.lock_mover();
        mover.is_closed = true;
        mover.connection.take()
    }

    fn lock_mover(&self) -> MutexGuard<'_, Mover> {
        self.mover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the log on a full disk, and cuts it to nothing, so that its space can be used. `busy_timeout` is set again.
pub(super) fn free_log_space(
    connection: &mut SqliteConnection,
    busy_timeout: Duration,
) -> Result<(), StateStoreError> {
    pragma::set_busy_timeout(connection, READER_WAIT)?;
    let moved = pragma::checkpoint_passive(connection)
        .and_then(|_| pragma::checkpoint_truncate(connection));
    pragma::set_busy_timeout(connection, busy_timeout)?;
    if moved?.is_blocked {
        return Err(StateStoreError::Busy {
            operation: "checkpoint",
        });
    }
    Ok(())
}

/// The longest that closing waits for a reader or writer of another process.
const CLOSING_WAIT: Duration = Duration::from_millis(100);

/// Moves what can be moved of the log, and cuts it to nothing where nobody is in the way. What is left is safe in the log.
pub(super) fn move_before_closing(
    connection: &mut SqliteConnection,
) -> Result<(), StateStoreError> {
    pragma::checkpoint_passive(connection)?;
    pragma::set_busy_timeout(connection, CLOSING_WAIT)?;
    match pragma::checkpoint_truncate(connection) {
        Ok(_) | Err(StateStoreError::Busy { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns how many pages the log holds, as its writer knows.
pub(super) fn wal_pages(connection: &mut SqliteConnection) -> Result<u64, StateStoreError> {
    pragma::checkpoint_noop(connection).map(|outcome| outcome.pages)
}

/// A checkpoint runs, or is on its way to a thread.
struct Running(Arc<Checkpointer>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}
