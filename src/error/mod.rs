//! The one error type, its kinds, and what lies behind it.
//!
//! What an error wraps is in its text, and so never its [`source`](std::error::Error::source) too.
//! [`StateStoreError::Application`] stands for the caller's own error in both.

mod details;
mod handling;
mod kind;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

pub use details::{DatabaseError, DatabaseFailure, MigrationError, SerializationError};
pub use kind::ErrorKind;
#[cfg(feature = "postgres")]
pub(crate) use postgres::unkept_session;

use crate::condition::SaveIf;
use crate::numbers::Revision;

/// A cause of any type. Boxed, so that no dependency's version is part of this crate's API.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// Everything that can go wrong in the store.
///
/// The text of each says what was wrong, with which value, and what to do about it.
/// [`kind`](Self::kind) names it for programs, and [`is_retryable`](Self::is_retryable) tells whether the same call may
/// succeed later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateStoreError {
    /// The database has no schema yet, or an older one.
    #[error("the database is not initialized ({reason}): call initialize() first")]
    NotInitialized {
        /// What is missing.
        reason: String,
    },
    /// The row that the call names doesn't exist in this namespace.
    #[error("{entity} {id:?} does not exist")]
    NotFound {
        /// What kind of row.
        entity: &'static str,
        /// Its id, as the caller wrote it.
        id: String,
    },
    /// The row is soft-deleted: undelete it, or save it as a new row with `SaveIf::Any` or `SaveIf::Absent`.
    #[error("{entity} {id:?} is deleted: undelete it, or save it as a new one")]
    Deleted {
        /// What kind of row.
        entity: &'static str,
        /// Its id.
        id: String,
    },
    /// The row isn't what the caller expected; nothing was written. Read it again and decide again.
    #[error("{entity} {id:?} was expected {expected}, but is at revision {actual}: read it again")]
    Conflict {
        /// What kind of row.
        entity: &'static str,
        /// Its id.
        id: String,
        /// What the caller expected.
        expected: SaveIf,
        /// The revision that is stored.
        actual: Revision,
    },
    /// The row is in a state that forbids the operation; nothing was written.
    #[error("{entity} {id:?} is {state}: {reason}")]
    InvalidState {
        /// What kind of row.
        entity: &'static str,
        /// Its id.
        id: String,
        /// The state that it is in, such as `completed` or `expired`.
        state: &'static str,
        /// What can't be done in this state, and what to do.
        reason: &'static str,
    },
    /// An argument that can never be right.
    #[error("invalid {field}: {reason}")]
    InvalidInput {
        /// Which argument.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument above its limit (see [`Limits`](crate::Limits)).
    #[error("{field} is too large: {size} {unit}, the limit is {limit}")]
    TooLarge {
        /// Which argument.
        field: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
        /// What both count: bytes, levels, rows.
        unit: &'static str,
    },
    /// An unpaged list with more rows than [`Limits::list_rows`](crate::Limits::list_rows): read it by page.
    #[error("the list has more than {limit} rows: read it by page with {page_form}")]
    TooManyRows {
        /// The limit in rows.
        limit: u64,
        /// The method that returns the same rows by page.
        page_form: &'static str,
    },
    /// A stored value that can't be decoded. Nothing is guessed in its place.
    #[error("corrupt value in {table}.{column} of {key:?}: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row: its key, id or sequence number.
        key: String,
        /// The column.
        column: &'static str,
        /// Why it can't be decoded.
        reason: String,
    },
    /// Another process held the database's write lock for longer than the busy timeout, or changed a file that can only be
    /// read here each time that it was read.
    #[error(
        "{operation}: another process holds the database's lock or changes the file; try again"
    )]
    Busy {
        /// What was tried.
        operation: &'static str,
    },
    /// The write queue stayed full for the acquire timeout. Nothing was written.
    #[error("the write queue is full ({capacity} {unit} wait): try again, with fewer writers")]
    QueueFull {
        /// How much may wait.
        capacity: usize,
        /// What that counts: operations, or bytes.
        unit: &'static str,
    },
    /// The write-ahead log is at its limit, because a read that is still open keeps it from being moved into the database.
    /// Nothing was written.
    #[error(
        "the write-ahead log holds {bytes} bytes, its limit is {limit}: end the read that is open (a `read` closure, a connection of `pool()`, another process), and try again"
    )]
    WalFull {
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The operation did not start within the acquire timeout. Nothing was written.
    #[error("{operation} did not start within {waited:?}: {reason}")]
    Timeout {
        /// What was tried.
        operation: &'static str,
        /// How long it waited.
        waited: Duration,
        /// Who is in the way, where that is known, and what to do.
        reason: String,
    },
    /// The commit failed in a way that doesn't tell whether the write is on disk: read before you write again. What is read
    /// then is what stays, also after a crash: the store has settled it before anybody hears of it. Where it can't, every
    /// write is refused with this error, and its text says so.
    #[error(
        "{operation}: the commit failed and its outcome is unknown ({cause}): read the data before you write again"
    )]
    OutcomeUnknown {
        /// What was tried.
        operation: &'static str,
        /// What SQLite said.
        cause: Source,
    },
    /// The store was closed, or the runtime that would do the work is gone.
    #[error("the store is closed")]
    Closed,
    /// The database was written by a newer version of this crate. It was not touched.
    #[error(
        "the database has schema version {database}, newer than {supported}, the last that this program knows: use a newer version"
    )]
    NewerDatabase {
        /// The schema version found.
        database: i64,
        /// The last schema version that this crate knows.
        supported: i64,
    },
    /// The file is a database, but not one of ours. It was not touched.
    #[error("not a database of this store ({reason}): choose another file")]
    ForeignDatabase {
        /// What it was recognized by.
        reason: String,
    },
    /// Something that this build or machine can't do.
    #[error("unsupported: {reason}")]
    Unsupported {
        /// What is missing.
        reason: String,
    },
    /// The caller's closure panicked; its transaction was rolled back.
    #[error("the closure panicked: {message}; its transaction was rolled back")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The async store was called from inside a closure that holds the same store: use the transaction instead.
    #[error(
        "{operation} was called inside a closure of the same store: use the closure's transaction"
    )]
    Reentrant {
        /// What was tried.
        operation: &'static str,
    },
    /// The full-text index of events is missing or damaged. Only a search needs it, its check, and a purge of events; what is
    /// appended meanwhile is kept, and found once the index is made again.
    #[error(
        "the search index is damaged ({cause}): rebuild it with events().rebuild_search() or `descartes-state search rebuild`"
    )]
    SearchIndexDamaged {
        /// What SQLite said.
        cause: Source,
    },
    /// The file isn't at its path any more, or another one is: it was deleted, renamed or replaced while it was open. What
    /// the call wrote is in a file that nobody finds by this path. The store refuses every further call.
    #[error(
        "committed in a file that is no longer at its path {}: it was deleted, renamed or replaced while it was open; open the store again", path.display()
    )]
    DatabaseMoved {
        /// The path at which the file was opened.
        path: PathBuf,
    },
    /// The file, its log, or their directory can't be written: the store reads, and refuses every write. Nothing was written.
    #[error(
        "the store at {} can only be read ({reason}): copy it to a place where you may write", path.display()
    )]
    ReadOnly {
        /// The path of the database file.
        path: PathBuf,
        /// What the system said, and of which path.
        reason: String,
    },
    /// The write-ahead log beside the file belongs to another file. Nothing was touched.
    #[error(
        "the write-ahead log {} belongs to another file ({reason}): together they would be damaged; keep both, and put each beside the file or log that it came with", path.display()
    )]
    ForeignWal {
        /// The path of the log.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// An operation of a batch failed: nothing of the batch was kept. [`kind`](Self::kind) is the cause's.
    #[error(
        "operation {} of the batch, {operation}, failed, and nothing of it was written: {cause}", place + 1
    )]
    InBatch {
        /// Which operation, in the order of their adding, from 0; the text counts from 1.
        place: usize,
        /// What it is, such as `agents.save`.
        operation: &'static str,
        /// How it failed.
        cause: Box<StateStoreError>,
    },
    /// A copy's target holds something else than its source, and was left as it is; or somebody wrote to it during the copy.
    #[error(
        "the target holds something else than the source ({table}: {reason}): copy into a store that is empty"
    )]
    NotACopy {
        /// The first table that differs.
        table: &'static str,
        /// What differs.
        reason: String,
    },
    /// The closure ended its transaction by raw SQL. What it committed itself stands; the connection was thrown away.
    #[error("the closure ended its transaction by raw SQL: the store alone commits and rolls back")]
    TransactionEscaped,
    /// The caller's own error, out of a closure: it has that error's text and source.
    #[error(transparent)]
    Application(Source),
    /// A value could not be serialized.
    #[error("serialization failed: {0}")]
    SerializationError(SerializationError),
    /// SQLite or Diesel failed.
    #[error("database error: {0}")]
    DatabaseError(DatabaseError),
    /// A migration failed; all of them were rolled back.
    #[error("migration error: {0}")]
    MigrationError(MigrationError),
}

/// Refuses a size above its limit.
pub(crate) fn within(
    field: &'static str,
    size: usize,
    limit: usize,
    unit: &'static str,
) -> Result<(), StateStoreError> {
    if size > limit {
        return Err(StateStoreError::TooLarge {
            field,
            size: size as u64,
            limit: limit as u64,
            unit,
        });
    }
    Ok(())
}

impl StateStoreError {
    /// Returns whether the same call, unchanged, may succeed later: nothing was written, and the cause passes.
    ///
    /// [`Conflict`](Self::Conflict) isn't: it wants a fresh read and a new decision.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Busy
                | ErrorKind::QueueFull
                | ErrorKind::WalFull
                | ErrorKind::Timeout
                | ErrorKind::ConnectionLost
        )
    }

    /// Returns what kind of error this is, as an enum whose names stay.
    ///
    /// ```
    /// use descartes_state::StateStoreError;
    /// use descartes_state::error::ErrorKind;
    ///
    /// assert_eq!(StateStoreError::Closed.kind(), ErrorKind::Closed);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of(self)
    }

    /// Wraps a caller's own error, to leave a closure with it.
    pub fn application(error: impl Into<Source>) -> Self {
        Self::Application(error.into())
    }

    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidInput {
            field,
            reason: reason.into(),
        }
    }

    pub(crate) fn not_found(entity: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound {
            entity,
            id: id.into(),
        }
    }
}
