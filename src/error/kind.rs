//! The kinds of error, for programs that decide by them.

use std::fmt;

use serde::Serialize;

use super::{DatabaseFailure, StateStoreError};

macro_rules! kinds {
    ($( $(#[$doc:meta])* $name:ident = $text:literal ),+ $(,)?) => {
        /// What kind of error a [`StateStoreError`] is. The names stay as they are; further ones may come.
        ///
        /// ```
        /// use descartes_state::error::ErrorKind;
        ///
        /// assert_eq!(ErrorKind::NotFound.as_str(), "not_found");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $( $(#[$doc])* #[serde(rename = $text)] $name, )+
        }

        impl ErrorKind {
            /// Returns the kind's name, as serde writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$name => $text, )+
                }
            }
        }
    };
}

kinds! {
    /// The database has no schema yet, or an older one.
    NotInitialized = "not_initialized",
    /// What was named doesn't exist.
    NotFound = "not_found",
    /// What was named is soft-deleted.
    Deleted = "deleted",
    /// The row isn't what the caller expected.
    Conflict = "conflict",
    /// The row is in a state that forbids the operation.
    InvalidState = "invalid_state",
    /// An argument that can never be right.
    InvalidInput = "invalid_input",
    /// An argument above its limit.
    TooLarge = "too_large",
    /// An unpaged list with too many rows.
    TooManyRows = "too_many_rows",
    /// A stored value that can't be decoded.
    Corrupt = "corrupt",
    /// Another process holds the lock.
    Busy = "busy",
    /// The write queue stayed full.
    QueueFull = "queue_full",
    /// The write-ahead log is at its limit.
    WalFull = "wal_full",
    /// The operation did not start in time.
    Timeout = "timeout",
    /// Nobody knows whether the write is on disk.
    OutcomeUnknown = "outcome_unknown",
    /// The store is closed.
    Closed = "closed",
    /// The database is of a newer version.
    NewerDatabase = "newer_database",
    /// The file is not ours.
    ForeignDatabase = "foreign_database",
    /// Something that this build or machine can't do.
    Unsupported = "unsupported",
    /// The caller's closure panicked.
    Panicked = "panicked",
    /// The store was called from inside one of its own closures.
    Reentrant = "reentrant",
    /// The closure ended its transaction by itself.
    TransactionEscaped = "transaction_escaped",
    /// The target of a copy holds something else.
    NotACopy = "not_a_copy",
    /// The full-text index is missing or damaged.
    SearchIndexDamaged = "search_index_damaged",
    /// The file is no longer at its path.
    DatabaseMoved = "database_moved",
    /// The write-ahead log belongs to another file.
    ForeignWal = "foreign_wal",
    /// The caller's own error.
    Application = "application",
    /// A value could not be serialized.
    Serialization = "serialization",
    /// A migration failed, or doesn't fit the file.
    Migration = "migration",
    /// A constraint of the schema refused a row.
    Constraint = "constraint",
    /// The disk is full.
    DiskFull = "disk_full",
    /// The file or its directory can't be written.
    ReadOnly = "read_only",
    /// Reading or writing the file failed.
    Io = "io",
    /// The file is damaged.
    Damaged = "damaged",
    /// The file is no database.
    NotADatabase = "not_a_database",
    /// The file can't be opened.
    CannotOpen = "cannot_open",
    /// The file, or a directory above it, doesn't exist.
    Missing = "missing",
    /// The file or a directory above it may not be used by this user.
    PermissionDenied = "permission_denied",
    /// Something above the file in its path is no directory.
    NotADirectory = "not_a_directory",
    /// A part of the path, or all of it, is longer than the file system allows.
    NameTooLong = "name_too_long",
    /// There is not enough memory.
    OutOfMemory = "out_of_memory",
    /// The server is away, or cut the connection.
    ConnectionLost = "connection_lost",
    /// Any other failure of the database.
    Database = "database",
}

impl ErrorKind {
    pub(super) fn of(error: &StateStoreError) -> Self {
        use StateStoreError as Error;
        match error {
            Error::NotInitialized { .. } => Self::NotInitialized,
            Error::NotFound { .. } => Self::NotFound,
            Error::Deleted { .. } => Self::Deleted,
            Error::Conflict { .. } => Self::Conflict,
            Error::InvalidState { .. } => Self::InvalidState,
            Error::InvalidInput { .. } => Self::InvalidInput,
            Error::TooLarge { .. } => Self::TooLarge,
            Error::TooManyRows { .. } => Self::TooManyRows,
            Error::Corrupt { .. } => Self::Corrupt,
            Error::Busy { .. } => Self::Busy,
            Error::QueueFull { .. } => Self::QueueFull,
            Error::WalFull { .. } => Self::WalFull,
            Error::Timeout { .. } => Self::Timeout,
            Error::OutcomeUnknown { .. } => Self::OutcomeUnknown,
            Error::Closed => Self::Closed,
            Error::NewerDatabase { .. } => Self::NewerDatabase,
            Error::ForeignDatabase { .. } => Self::ForeignDatabase,
            Error::Unsupported { .. } => Self::Unsupported,
            Error::Panicked { .. } => Self::Panicked,
            Error::Reentrant { .. } => Self::Reentrant,
            Error::NotACopy { .. } => Self::NotACopy,
            Error::SearchIndexDamaged { .. } => Self::SearchIndexDamaged,
            Error::DatabaseMoved { .. } => Self::DatabaseMoved,
            Error::ForeignWal { .. } => Self::ForeignWal,
            Error::ReadOnly { .. } => Self::ReadOnly,
            Error::TransactionEscaped => Self::TransactionEscaped,
            Error::InBatch { cause, .. } => Self::of(cause),
            Error::Application(_) => Self::Application,
            Error::SerializationError(_) => Self::Serialization,
            Error::MigrationError(_) => Self::Migration,
            Error::DatabaseError(error) => match error.kind() {
                DatabaseFailure::Constraint => Self::Constraint,
                DatabaseFailure::Full => Self::DiskFull,
                DatabaseFailure::ReadOnly => Self::ReadOnly,
                DatabaseFailure::Io => Self::Io,
                DatabaseFailure::Damaged => Self::Damaged,
                DatabaseFailure::NotADatabase => Self::NotADatabase,
                DatabaseFailure::CannotOpen => Self::CannotOpen,
                DatabaseFailure::Missing => Self::Missing,
                DatabaseFailure::PermissionDenied => Self::PermissionDenied,
                DatabaseFailure::NotADirectory => Self::NotADirectory,
                DatabaseFailure::NameTooLong => Self::NameTooLong,
                DatabaseFailure::OutOfMemory => Self::OutOfMemory,
                DatabaseFailure::ConnectionLost => Self::ConnectionLost,
                DatabaseFailure::Other => Self::Database,
            },
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
