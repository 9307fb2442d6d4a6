//! The one place that reads what SQLite said.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::details::Failure;
use super::{DatabaseError, DatabaseFailure, StateStoreError};

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
        #[cfg(feature = "postgres")]
        if super::postgres::lacks_statement(information.message()) {
            return super::unkept_session(information.message());
        }
        match classify(kind, information.message()) {
            Failure::Locked => Self::Busy {
                operation: "database",
            },
            Failure::Other(kind) => Self::DatabaseError(DatabaseError::new(kind, error)),
            #[cfg(feature = "postgres")]
            Failure::OfServer(kind) => {
                Self::DatabaseError(DatabaseError::new(kind, error).of_server())
            }
        }
    }
}

/// What each result code means, by the text that `sqlite3_errstr` has for it: Diesel passes SQLite's text on, but not its
/// code. They are SQLite's own, in `sqlite3ErrStr` of
/// its main.c.
const RESULTS: &[(&str, Failure)] = &[
    ("database is locked", Failure::Locked),
    ("database table is locked", Failure::Locked),
    // Others kept taking the log's locks while this one tried, for seconds.
    ("locking protocol", Failure::Locked),
    (
        "access permission denied",
        Failure::Other(DatabaseFailure::PermissionDenied),
    ),
    (
        "authorization denied",
        Failure::Other(DatabaseFailure::PermissionDenied),
    ),
    (
        "out of memory",
        Failure::Other(DatabaseFailure::OutOfMemory),
    ),
    (
        "attempt to write a readonly database",
        Failure::Other(DatabaseFailure::ReadOnly),
    ),
    ("disk I/O error", Failure::Other(DatabaseFailure::Io)),
    (
        "database disk image is malformed",
        Failure::Other(DatabaseFailure::Damaged),
    ),
    (
        "database or disk is full",
        Failure::Other(DatabaseFailure::Full),
    ),
    (
        "unable to open database file",
        Failure::Other(DatabaseFailure::CannotOpen),
    ),
    (
        "file is not a database",
        Failure::Other(DatabaseFailure::NotADatabase),
    ),
    (
        "constraint failed",
        Failure::Other(DatabaseFailure::Constraint),
    ),
    (
        "datatype mismatch",
        Failure::Other(DatabaseFailure::Constraint),
    ),
];

/// Texts that SQLite, its full-text search and our triggers write in the place of a result code's own.
const SPECIAL: &[(&str, DatabaseFailure)] = &[
    ("is append-only", DatabaseFailure::Constraint),
    // The search index could not be read when it was opened.
    ("vtable constructor failed", DatabaseFailure::Io),
    ("fts5: corruption", DatabaseFailure::Damaged),
    ("fts5: checksum mismatch", DatabaseFailure::Damaged),
    ("fts5: missing row", DatabaseFailure::Damaged),
];

fn classify(kind: &DatabaseErrorKind, message: &str) -> Failure {
    match kind {
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation => {
            return Failure::Other(DatabaseFailure::Constraint);
        }
        _ => {}
    }
    #[cfg(feature = "postgres")]
    if let Some(failure) = super::postgres::classify(kind, message) {
        return failure;
    }
    let special = SPECIAL.iter().find(|(text, _)| message.contains(text));
    if let Some((_, kind)) = special {
        return Failure::Other(*kind);
    }
    // Some have more behind it: which schema is locked, which file can't be opened.
    match RESULTS.iter().find(|(text, _)| message.contains(text)) {
        Some((_, failure)) => *failure,
        None => Failure::Other(DatabaseFailure::Other),
    }
}

impl DatabaseError {
    /// Returns whether a table or column is missing that the migrations make.
    pub(crate) fn lacks_schema(&self) -> bool {
        let text = self.get_ref().to_string();
        let is_missing = ["no such table", "no such column", "has no column named"]
            .iter()
            .any(|missing| text.contains(missing));
        #[cfg(feature = "postgres")]
        let is_missing = is_missing || super::postgres::lacks_relation(&text);
        self.kind() == DatabaseFailure::Other && is_missing
    }
}

impl From<diesel::ConnectionError> for StateStoreError {
    fn from(error: diesel::ConnectionError) -> Self {
        match error {
            diesel::ConnectionError::CouldntSetupConfiguration(error) => error.into(),
            diesel::ConnectionError::BadConnection(message) => {
                // PostgreSQL's has several lines.
                let message: Vec<_> = message.lines().map(str::trim).collect();
                let message = message.join(" ").trim_end().to_owned();
                match classify(&DatabaseErrorKind::Unknown, &message) {
                    Failure::Locked => Self::Busy { operation: "open" },
                    Failure::Other(kind) => Self::DatabaseError(DatabaseError::new(kind, message)),
                    #[cfg(feature = "postgres")]
                    Failure::OfServer(kind) => {
                        Self::DatabaseError(DatabaseError::new(kind, message).of_server())
                    }
                }
            }
            other => Self::DatabaseError(DatabaseError::new(DatabaseFailure::CannotOpen, other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseErrorKind, DatabaseFailure, Failure, RESULTS, classify};

    #[test]
    fn texts_with_more_around_them_are_known_too() {
        let kind = |message: &str| match classify(&DatabaseErrorKind::Unknown, message) {
            Failure::Other(kind) => Some(kind),
            _ => None,
        };
        assert_eq!(kind("database is locked"), None);
        assert_eq!(
            kind("database schema is locked: main"),
            Some(DatabaseFailure::Other)
        );
        assert_eq!(kind("locking protocol"), None);
        assert_eq!(
            kind("vtable constructor failed: events_search"),
            Some(DatabaseFailure::Io)
        );
        assert_eq!(kind("no such table: x"), Some(DatabaseFailure::Other));
    }

    #[test]
    fn no_result_codes_text_holds_anothers() {
        for (index, (text, _)) in RESULTS.iter().enumerate() {
            let found = RESULTS.iter().position(|(other, _)| text.contains(other));
            assert_eq!(found, Some(index), "{text}");
        }
    }
}
