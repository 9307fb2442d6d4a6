//! The one place that reads what SQLite said.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

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

/// Reads the cause out of the text, since Diesel reports BUSY, FULL and READONLY as `Unknown`; the texts are those of
/// `sqlite3_errstr`.
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
