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

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;
use tokio::runtime::Handle;

use super::closure::caught;
use super::connect::{DatabaseFile, Role};
use super::held::Held;
use super::options::StoreOptions;
use super::threads::current_or;
use crate::error::StateStoreError;

/// Pages in the log at which they are moved: SQLite's own default.
const PAGES: u64 = 1000;
/// Pages in the log at which a commit moves what is left itself, so that the log begins anew: 16 MiB. A file that only grows
/// is slower to make safe than one that is written over: its length has to be made safe as well.
pub(super) const MOST_PAGES: u32 = 4000;
/// Pages in the log at which it is plain that reads keep it from beginning anew. From then on those are waited for.
const HELD_PAGES: u64 = 2 * MOST_PAGES as u64;
/// How long they are waited for, at the most; writers wait meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// The log file is cut to this size when it begins anew, in bytes; above it, there is a warning.
pub(super) const KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// What each page has before it in the log (<https://www.sqlite.org/fileformat.html#the_write_ahead_log>).
const FRAME_HEADER: u64 = 24;

pub(super) struct Checkpoints {
    file: DatabaseFile,
    runtime: Handle,
    limit: u64,
    /// Pages in the log after the last commit.
    pages: AtomicU64,
    /// Pages in the log at the last look.
    looked: AtomicU64,
    /// Bytes of a page in the log.
    page_bytes: AtomicU64,
    is_looking: AtomicBool,
    mover: Mutex<Mover>,
}

/// Who moves the log.
struct Mover {
    connection: Option<Held>,
    /// Bytes in the log at which the next warning is due.
    warn_at: u64,
    is_closed: bool,
}

impl Checkpoints {
    pub(super) fn new(file: &DatabaseFile, options: &StoreOptions, runtime: Handle) -> Self {
        Self {
            file: file.clone(),
            runtime,
            limit: options.log_limit,
            pages: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            page_bytes: AtomicU64::new(4096 + FRAME_HEADER),
            is_looking: AtomicBool::new(false),
            mover: Mutex::new(Mover {
                connection: None,
                warn_at: KEPT_BYTES.min(options.log_limit),
                is_closed: false,
            }),
        }
    }

    /// Notes how many pages a commit left in the log; moves them where that is due, on the blocking pool.
    pub(super) fn note(self: &Arc<Self>, pages: u64) {
        let before = self.pages.swap(pages, Ordering::AcqRel);
        if pages < before {
            // It has begun anew.
            self.looked.store(0, Ordering::Release);
        }
        let due = self.looked.load(Ordering::Acquire) + PAGES;
        if pages < due || self.is_looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let looking = Looking(Arc::clone(self));
        // A runtime that is gone drops it, and the next commit tries again.
        drop(current_or(&self.runtime).spawn_blocking(move || {
            if let Err(error) = looking.0.move_log() {
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            }
        }));
    }

    /// Whether the log holds as much as it may.
    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= self.limit
    }

    /// Moves a log that is full, and has it begin anew; an error if a read keeps it from that. On a thread that may wait.
    pub(super) fn make_room(&self) -> Result<(), StateStoreError> {
        self.move_log()?;
        let bytes = self.bytes();
        if bytes >= self.limit {
            return Err(StateStoreError::LogFull {
                bytes,
                limit: self.limit,
            });
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.pages.load(Ordering::Acquire) * self.page_bytes.load(Ordering::Relaxed)
    }

    fn move_log(&self) -> Result<(), StateStoreError> {
        let mut mover = self.mover.lock().unwrap_or_else(PoisonError::into_inner);
        if mover.is_closed {
            return Ok(());
        }
        let pages = self.pages.load(Ordering::Acquire);
        self.looked.store(pages, Ordering::Release);
        // Without this a log that is read all the time, by one short read after the other, would never begin anew.
        let is_held = pages >= HELD_PAGES || self.is_full();
        let moved = caught(|| {
            if mover.connection.is_none() {
                mover.connection = Some(Held::open(&self.file, Role::Checkpointer, PAUSE)?);
            }
            let Some(connection) = &mut mover.connection else {
                return Err(StateStoreError::Closed);
            };
            connection.run(true, |connection| {
                let size: i64 = diesel::select(sql::<BigInt>(PAGE_SIZE)).get_result(connection)?;
                let size = u64::try_from(size).unwrap_or(4096) + FRAME_HEADER;
                self.page_bytes.store(size, Ordering::Relaxed);
                Ok(if is_held {
                    Restart.get_result::<Answer>(connection)?
                } else {
                    Passive.get_result::<Answer>(connection)?
                })
            })
        });
        let (is_busy, ..) = moved.inspect_err(|_| mover.connection = None)?;
        if !is_held {
            return Ok(());
        }
        if is_busy == 0 {
            // The next commit begins it anew.
            self.pages.store(0, Ordering::Release);
            self.looked.store(0, Ordering::Release);
            mover.warn_at = KEPT_BYTES.min(self.limit);
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

    /// Waits for what is being moved: nobody else can move the log meanwhile. On a thread that may wait.
    pub(super) fn settle(&self) {
        drop(self.mover.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Moves nothing from now on; waits for what is being moved. On a thread that may wait.
    pub(super) fn close(&self) {
        let mut mover = self.mover.lock().unwrap_or_else(PoisonError::into_inner);
        mover.is_closed = true;
        mover.connection = None;
    }
}

const PAGE_SIZE: &str = "(SELECT page_size FROM pragma_page_size)";

/// Whether it couldn't be done whole, pages in the log, pages that were moved.
type Answer = (i64, i64, i64);

/// A checkpoint as a query that is prepared once.
macro_rules! checkpoint {
    ($(#[$doc:meta])* $name:ident, $sql:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, QueryId)]
        struct $name;

        impl QueryFragment<Sqlite> for $name {
            fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                pass.push_sql($sql);
                Ok(())
            }
        }

        impl Query for $name {
            type SqlType = (BigInt, BigInt, BigInt);
        }

        impl<C> RunQueryDsl<C> for $name {}
    };
}

checkpoint! {
    /// Counts the pages, and moves none.
    Noop, "PRAGMA wal_checkpoint(NOOP)"
}
checkpoint! {
    /// Moves what it can, and waits for nobody.
    Passive, "PRAGMA wal_checkpoint(PASSIVE)"
}
checkpoint! {
    /// Moves everything, and waits for the readers, so that the next commit begins the log anew.
    Restart, "PRAGMA wal_checkpoint(RESTART)"
}

/// How many pages the log holds, as its writer knows.
pub(super) fn log_pages(connection: &mut SqliteConnection) -> Result<u64, StateStoreError> {
    let (_, pages, _) = Noop.get_result::<Answer>(connection)?;
    // -1 where there is no log.
    Ok(u64::try_from(pages).unwrap_or(0))
}

/// Someone is looking at the log, or on the way to.
struct Looking(Arc<Checkpoints>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.is_looking.store(false, Ordering::Release);
    }
}
