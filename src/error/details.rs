//! What lies behind an error: the failures of SQLite, of a migration, of turning a value into its stored form.
//!
//! Each shows in its text what it wraps. It is therefore not [`Error::source`] as well: whoever prints the whole chain would
//! read it twice. [`get_ref`](DatabaseError::get_ref) returns it, for those who look for a type.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use super::Source;

/// What kind of failure SQLite reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The file, or a directory above it, doesn't exist (`ENOENT`).
    Missing,
    /// The file or a directory above it may not be used by this user (`EACCES`, `EPERM`, `SQLITE_PERM`, `SQLITE_AUTH`).
    PermissionDenied,
    /// Something above the file in its path is no directory (`ENOTDIR`).
    NotADirectory,
    /// A part of the path, or all of it, is longer than the file system allows (`ENAMETOOLONG`).
    NameTooLong,
    /// There is not enough memory (`SQLITE_NOMEM`).
    OutOfMemory,
    /// The PostgreSQL server is away, or cut the connection.
    ConnectionLost,
    /// Any other.
    Other,
}

/// What a database's text says: somebody else is in the way, or a failure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    Locked,
    Other(DatabaseFailure),
    /// A PostgreSQL server's.
    #[cfg(feature = "postgres")]
    OfServer(DatabaseFailure),
}

/// A failure of SQLite or Diesel: what kind, in which operation, and what they said.
#[derive(Debug)]
pub struct DatabaseError {
    kind: DatabaseFailure,
    operation: &'static str,
    cause: Source,
    is_of_server: bool,
}

impl DatabaseError {
    /// Returns what kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> DatabaseFailure {
        self.kind
    }

    /// Returns which operation of the store failed.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns what SQLite, Diesel or the operating system said, to look for a type in it.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.cause.as_ref()
    }

    pub(crate) fn new(kind: DatabaseFailure, cause: impl Into<Source>) -> Self {
        Self {
            kind,
            operation: "database",
            cause: cause.into(),
            is_of_server: false,
        }
    }

    /// Says that a server said it: what to do is another thing then.
    #[cfg(feature = "postgres")]
    pub(super) fn of_server(self) -> Self {
        Self {
            is_of_server: true,
            ..self
        }
    }

    /// Names what the operating system said of a path.
    pub(crate) fn of_system(path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let (kind, name) = match error.kind() {
            Kind::NotFound => (DatabaseFailure::Missing, "ENOENT"),
            Kind::PermissionDenied => (DatabaseFailure::PermissionDenied, "EACCES"),
            Kind::ReadOnlyFilesystem => (DatabaseFailure::ReadOnly, "EROFS"),
            Kind::NotADirectory => (DatabaseFailure::NotADirectory, "ENOTDIR"),
            Kind::InvalidFilename => (DatabaseFailure::NameTooLong, "ENAMETOOLONG"),
            Kind::StorageFull => (DatabaseFailure::Full, "ENOSPC"),
            Kind::QuotaExceeded => (DatabaseFailure::Full, "EDQUOT"),
            Kind::OutOfMemory => (DatabaseFailure::OutOfMemory, "ENOMEM"),
            _ => (DatabaseFailure::CannotOpen, ""),
        };
        let name = if name.is_empty() {
            String::new()
        } else {
            format!(" {name}")
        };
        Self::new(kind, format!("{}: {error}{name}", path.display()))
    }

    pub(super) fn set_operation(&mut self, operation: &'static str) {
        self.operation = operation;
    }

    pub(super) fn again(&self) -> Self {
        Self {
            kind: self.kind,
            operation: self.operation,
            cause: self.cause.to_string().into(),
            is_of_server: self.is_of_server,
        }
    }

    /// Returns whether SQLite said it, and not the operating system.
    pub(crate) fn is_of_sqlite(&self) -> bool {
        self.cause
            .to_string()
            .starts_with("unable to open database file")
    }

    pub(crate) fn into_inner(self) -> Source {
        self.cause
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = if self.is_of_server {
            advice_of_server(self.kind)
        } else {
            advice_of_file(self.kind)
        };
        write!(formatter, "{}: {}{advice}", self.operation, self.cause)
    }
}

/// Returns what to do about a failure of a file.
fn advice_of_file(kind: DatabaseFailure) -> &'static str {
    match kind {
        DatabaseFailure::Full => " (free some space; nothing of this write was kept)",
        DatabaseFailure::ReadOnly => " (check the permissions of the file and its directory)",
        DatabaseFailure::Damaged | DatabaseFailure::NotADatabase => {
            " (restore the file from a backup)"
        }
        DatabaseFailure::CannotOpen => " (check the path and its permissions)",
        DatabaseFailure::Missing => " (check the path)",
        DatabaseFailure::PermissionDenied => {
            " (check the permissions of the file and of the directories above it)"
        }
        DatabaseFailure::NotADirectory => {
            " (a part of the path is a file, or a link that leads nowhere)"
        }
        DatabaseFailure::NameTooLong => " (choose a shorter path)",
        _ => "",
    }
}

/// Returns what to do about a failure of a server.
fn advice_of_server(kind: DatabaseFailure) -> &'static str {
    match kind {
        DatabaseFailure::Full => " (free some space on the server; nothing of this write was kept)",
        DatabaseFailure::ReadOnly => {
            " (the server or the role may only read: write to the primary)"
        }
        DatabaseFailure::CannotOpen => " (check the URL)",
        DatabaseFailure::Missing => " (check the name of the database)",
        DatabaseFailure::PermissionDenied => " (check the user, the password and what it may do)",
        DatabaseFailure::ConnectionLost => " (try again when the server is back)",
        _ => "",
    }
}

impl Error for DatabaseError {}

/// A migration that failed.
#[derive(Debug)]
pub struct MigrationError {
    operation: &'static str,
    cause: Source,
}

impl MigrationError {
    /// Returns what was tried: `run`, `revert` or `inspect`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns what was wrong, to look for a type in it.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.cause.as_ref()
    }

    pub(crate) fn new(operation: &'static str, cause: impl Into<Source>) -> Self {
        Self {
            operation,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for MigrationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.operation, self.cause)
    }
}

impl Error for MigrationError {}

/// A value that could not be turned into its stored form.
#[derive(Debug)]
pub struct SerializationError {
    field: &'static str,
    cause: Source,
}

impl SerializationError {
    /// Returns which field this is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns what was wrong, to look for a type in it.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.cause.as_ref()
    }

    pub(crate) fn new(field: &'static str, cause: impl Into<Source>) -> Self {
        Self {
            field,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for SerializationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.cause)
    }
}

impl Error for SerializationError {}
