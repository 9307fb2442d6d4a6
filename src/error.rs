//! The one error type, and the one place that reads what SQLite said.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::expected::Expected;

/// A cause of any type. Boxed, so that no dependency's version is part of this crate's API.
pub type Source = Box<dyn Error + Send + Sync + 'static>;

/// Everything that can go wrong in the store.
///
/// The text of each says what was wrong, with which value, and what to do about it.
/// [`is_retryable`](Self::is_retryable) tells whether the same call may succeed later.
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
        /// Its id, as the caller gave it.
        id: String,
    },
    /// The row is soft-deleted; undelete it, or save it anew with `Expected::Any` or `Expected::Absent`.
    #[error("{entity} {id:?} is deleted: undelete it, or save it anew")]
    Deleted {
        /// What kind of row.
        entity: &'static str,
        /// Its id.
        id: String,
    },
    /// The row isn't what the caller expected; nothing was written. Read it again and decide anew.
    #[error("{entity} {id:?} was expected {expected}, but is at revision {actual}: read it again")]
    Conflict {
        /// What kind of row.
        entity: &'static str,
        /// Its id.
        id: String,
        /// What the caller expected.
        expected: Expected,
        /// The revision that is stored.
        actual: i64,
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
    /// An unpaged list with more rows than `max_list_rows`: read it by page.
    #[error("the list has more than {limit} rows: read it by page with {page_form}")]
    TooManyRows {
        /// The limit in rows.
        limit: u64,
        /// The method that gives the same rows by page.
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
    /// Another process held the database's write lock for longer than the busy timeout.
    #[error("{operation}: another process holds the database's lock; try again")]
    Busy {
        /// What was tried.
        operation: &'static str,
    },
    /// The write queue stayed full for the acquire timeout. Nothing was written.
    #[error("the write queue is full ({capacity} operations wait): try again, with fewer writers")]
    QueueFull {
        /// How many operations may wait.
        capacity: usize,
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
    #[error("{operation} did not start within {waited:?}: the store is busy, try again")]
    Timeout {
        /// What was tried.
        operation: &'static str,
        /// How long it waited.
        waited: Duration,
    },
    /// The commit failed in a way that doesn't tell whether the write is on disk: read before you write again.
    #[error(
        "{operation}: the commit failed and its outcome is unknown ({source}): read the data before you write again"
    )]
    OutcomeUnknown {
        /// What was tried.
        operation: &'static str,
        /// What SQLite said.
        source: Source,
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
        /// What gave it away.
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
    /// The closure ended its transaction by raw SQL. What it committed itself stands; the connection was thrown away.
    #[error("the closure ended its transaction by raw SQL: the store alone commits and rolls back")]
    TransactionEscaped,
    /// The caller's own error, out of a closure.
    #[error("{0}")]
    Application(#[source] Source),
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
    /// Whether the same call, unchanged, may succeed later: nothing was written, and the cause passes.
    ///
    /// [`Conflict`](Self::Conflict) isn't: it wants a fresh read and a new decision.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::QueueFull { .. }
                | Self::WalFull { .. }
                | Self::Timeout { .. }
        )
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

    /// Names the operation in the error that SQLite gave.
    pub(crate) fn during(self, name: &'static str) -> Self {
        match self {
            Self::DatabaseError(mut error) => {
                error.operation = name;
                Self::DatabaseError(error)
            }
            Self::Busy { .. } => Self::Busy { operation: name },
            Self::OutcomeUnknown { source, .. } => Self::OutcomeUnknown {
                operation: name,
                source,
            },
            other => other,
        }
    }

    /// The same failure once more, for another caller of the same commit.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Busy { operation } => Self::Busy { operation },
            Self::Closed => Self::Closed,
            Self::OutcomeUnknown { operation, source } => Self::OutcomeUnknown {
                operation,
                source: source.to_string().into(),
            },
            Self::DatabaseError(error) => Self::DatabaseError(DatabaseError {
                kind: error.kind,
                operation: error.operation,
                source: error.source.to_string().into(),
            }),
            other => Self::DatabaseError(DatabaseError::new(
                DatabaseFailure::Other,
                other.to_string(),
            )),
        }
    }

    /// What a failed COMMIT means. Locked, full and refused are known: nothing was kept. Anything else, such as a
    /// failing fsync, leaves open whether the frames reached the disk.
    pub(crate) fn of_commit(self, operation: &'static str) -> Self {
        match self {
            Self::Busy { .. } => Self::Busy { operation },
            Self::DatabaseError(error)
                if matches!(
                    error.kind,
                    DatabaseFailure::Full | DatabaseFailure::Constraint
                ) =>
            {
                Self::DatabaseError(error).during(operation)
            }
            Self::DatabaseError(error) => Self::OutcomeUnknown {
                operation,
                source: error.source,
            },
            other => other,
        }
    }

    /// Whether SQLite may have rolled the whole transaction back, not only the statement
    /// (<https://www.sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction").
    pub(crate) fn may_end_transaction(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::TransactionEscaped | Self::Panicked { .. } => true,
            Self::DatabaseError(error) => error.kind != DatabaseFailure::Constraint,
            _ => false,
        }
    }
}

/// What kind of failure SQLite reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseFailure {
    /// A constraint of the schema refused the row.
    Constraint,
    /// The disk is full (`SQLITE_FULL`).
    Full,
    /// The file or its directory can't be written (`SQLITE_READONLY`).
    ReadOnly,
    /// Reading or writing the file failed (`SQLITE_IOERR`).
    Io,
    /// The file is damaged (`SQLITE_CORRUPT`).
    Damaged,
    /// The file is no database, or its first page is damaged (`SQLITE_NOTADB`).
    NotADatabase,
    /// The file can't be opened (`SQLITE_CANTOPEN`).
    CannotOpen,
    /// Any other.
    Other,
}

/// A failure of SQLite or Diesel: what kind, in which operation, and the source.
#[derive(Debug)]
pub struct DatabaseError {
    kind: DatabaseFailure,
    operation: &'static str,
    source: Source,
}

impl DatabaseError {
    /// What kind of failure.
    #[must_use]
    pub fn kind(&self) -> DatabaseFailure {
        self.kind
    }

    /// Which operation of the store failed.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    pub(crate) fn new(kind: DatabaseFailure, source: impl Into<Source>) -> Self {
        Self {
            kind,
            operation: "database",
            source: source.into(),
        }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.kind {
            DatabaseFailure::Full => " (free some space; nothing of this write was kept)",
            DatabaseFailure::ReadOnly => " (check the permissions of the file and its directory)",
            DatabaseFailure::Damaged | DatabaseFailure::NotADatabase => {
                " (restore the file from a backup)"
            }
            DatabaseFailure::CannotOpen => " (check the path and its permissions)",
            _ => "",
        };
        write!(formatter, "{}: {}{advice}", self.operation, self.source)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// A migration that failed, with the source.
#[derive(Debug)]
pub struct MigrationError {
    operation: &'static str,
    source: Source,
}

impl MigrationError {
    /// What was tried: `run`, `revert` or `history`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    pub(crate) fn new(operation: &'static str, source: impl Into<Source>) -> Self {
        Self {
            operation,
            source: source.into(),
        }
    }
}

impl fmt::Display for MigrationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.operation, self.source)
    }
}

impl Error for MigrationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// A value that could not be turned into its stored form.
#[derive(Debug)]
pub struct SerializationError {
    field: &'static str,
    source: Source,
}

impl SerializationError {
    /// Which field.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    pub(crate) fn new(field: &'static str, source: impl Into<Source>) -> Self {
        Self {
            field,
            source: source.into(),
        }
    }
}

impl fmt::Display for SerializationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.source)
    }
}

impl Error for SerializationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

impl From<DieselError> for StateStoreError {
    fn from(error: DieselError) -> Self {
        // A failed rollback hides the error that made it necessary; the first is what the caller needs.
        let error = match error {
            DieselError::RollbackErrorOnCommit { commit_error, .. } => *commit_error,
            other => other,
        };
        let DieselError::DatabaseError(kind, information) = &error else {
            return Self::DatabaseError(DatabaseError::new(DatabaseFailure::Other, error));
        };
        match classify(kind, information.message()) {
            Failure::Locked => Self::Busy {
                operation: "database",
            },
            Failure::Other(kind) => Self::DatabaseError(DatabaseError::new(kind, error)),
        }
    }
}

enum Failure {
    Locked,
    Other(DatabaseFailure),
}

/// Diesel gives BUSY, FULL and READONLY as `Unknown` with SQLite's text; the texts are those of `sqlite3_errstr`.
fn classify(kind: &DatabaseErrorKind, message: &str) -> Failure {
    use DatabaseFailure as Kind;
    match kind {
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation => Failure::Other(Kind::Constraint),
        _ if message.starts_with("database is locked")
            || message.starts_with("database table is locked") =>
        {
            Failure::Locked
        }
        _ => Failure::Other(if message.contains("disk is full") {
            Kind::Full
        } else if message.contains("readonly database") {
            Kind::ReadOnly
        } else if message.contains("disk I/O error") {
            Kind::Io
        } else if message.contains("disk image is malformed") {
            Kind::Damaged
        } else if message.contains("file is not a database") {
            Kind::NotADatabase
        } else if message.contains("unable to open database file") {
            Kind::CannotOpen
        } else if message.contains("is append-only") {
            Kind::Constraint
        } else {
            Kind::Other
        }),
    }
}

impl From<diesel::ConnectionError> for StateStoreError {
    fn from(error: diesel::ConnectionError) -> Self {
        match error {
            diesel::ConnectionError::CouldntSetupConfiguration(error) => error.into(),
            diesel::ConnectionError::BadConnection(message) => {
                let kind = match classify(&DatabaseErrorKind::Unknown, &message) {
                    Failure::Locked => return Self::Busy { operation: "open" },
                    Failure::Other(kind) => kind,
                };
                Self::DatabaseError(DatabaseError::new(kind, message))
            }
            other => Self::DatabaseError(DatabaseError::new(DatabaseFailure::CannotOpen, other)),
        }
    }
}
