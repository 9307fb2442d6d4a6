//! What PostgreSQL and libpq said.
//!
//! Diesel passes the server's text on, but not its code (SQLSTATE), except where it has a kind for it.

use diesel::result::DatabaseErrorKind;

use super::details::Failure;
use super::{DatabaseFailure, StateStoreError};

/// Texts of the server and of libpq, in English as the server writes them by default.
const TEXTS: &[(&str, Failure)] = &[
    ("deadlock detected", Failure::Locked),
    ("could not serialize access", Failure::Locked),
    ("canceling statement due to lock timeout", Failure::Locked),
    ("could not obtain lock", Failure::Locked),
    ("too many clients already", Failure::Locked),
    ("remaining connection slots", Failure::Locked),
    (
        "server closed the connection",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "terminating connection",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "connection to server",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "connection not open",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "no connection to the server",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "could not receive data",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "could not send data",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "the database system is",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "SSL connection has been closed",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "SSL SYSCALL error",
        Failure::OfServer(DatabaseFailure::ConnectionLost),
    ),
    (
        "permission denied",
        Failure::OfServer(DatabaseFailure::PermissionDenied),
    ),
    (
        "No space left on device",
        Failure::OfServer(DatabaseFailure::Full),
    ),
    // A libpq without TLS says so before it connects.
    (
        "when SSL support is not compiled in",
        Failure::OfServer(DatabaseFailure::CannotOpen),
    ),
];

/// Reasons for which the server, reached, refuses a connection for good. They come behind "connection to server".
const REFUSALS: &[(&str, DatabaseFailure)] = &[
    ("authentication failed", DatabaseFailure::PermissionDenied),
    ("no password supplied", DatabaseFailure::PermissionDenied),
    ("no pg_hba.conf entry", DatabaseFailure::PermissionDenied),
    (
        "is not permitted to log in",
        DatabaseFailure::PermissionDenied,
    ),
    ("role \"", DatabaseFailure::PermissionDenied),
    ("database \"", DatabaseFailure::Missing),
    ("could not translate host name", DatabaseFailure::CannotOpen),
    ("server does not support SSL", DatabaseFailure::CannotOpen),
    // PgBouncer's, of `options` and the like.
    ("unsupported startup parameter", DatabaseFailure::CannotOpen),
    ("certificate", DatabaseFailure::CannotOpen),
];

/// Returns what a failure is, where its text is one of PostgreSQL's.
pub(super) fn classify(kind: &DatabaseErrorKind, message: &str) -> Option<Failure> {
    match kind {
        DatabaseErrorKind::SerializationFailure => return Some(Failure::Locked),
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            return Some(Failure::OfServer(DatabaseFailure::ConnectionLost));
        }
        DatabaseErrorKind::ReadOnlyTransaction => {
            return Some(Failure::OfServer(DatabaseFailure::ReadOnly));
        }
        _ => {}
    }
    // "too many connections for role" and "for database".
    if message.contains("too many connections for") {
        return Some(Failure::Locked);
    }
    let is_connecting = message.contains("connection to server") || message.contains("host name");
    let refusal = REFUSALS.iter().find(|(text, _)| message.contains(text));
    if let (true, Some((_, kind))) = (is_connecting, refusal) {
        return Some(Failure::OfServer(*kind));
    }
    let known = TEXTS.iter().find(|(text, _)| message.contains(text));
    known.map(|(_, failure)| *failure)
}

/// Returns whether a text says that a table is missing.
pub(super) fn lacks_relation(text: &str) -> bool {
    text.contains("relation \"") && text.contains("does not exist")
}

/// Returns whether a text says that a session lacks a statement that was prepared on it, or has one that wasn't.
pub(super) fn lacks_statement(text: &str) -> bool {
    text.contains("prepared statement \"__diesel_stmt_")
        || text.contains("unnamed prepared statement does not exist")
}

/// The error of a connection that has no session of the server's to itself.
pub(crate) fn unkept_session(said: &str) -> StateStoreError {
    StateStoreError::Unsupported {
        reason: format!(
            "the connection doesn't keep its session of the server ({said}), as behind PgBouncer with pool_mode=transaction, or \
             after a closure's DISCARD or DEALLOCATE: set pool_mode=session for this database, or connect to the server itself"
        ),
    }
}

impl StateStoreError {
    /// Returns whether the same work may succeed if it is done again at once, or once the server is back: nothing was kept.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::DatabaseError(error) => match error.kind() {
                DatabaseFailure::ConnectionLost => true,
                // Somebody inserted the row that this was going to insert.
                DatabaseFailure::Constraint => self.is_duplicate(),
                _ => false,
            },
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseErrorKind, DatabaseFailure, Failure, classify};

    #[test]
    fn a_refused_connection_is_told_from_one_that_may_come_back() {
        let kind = |message: &str| match classify(&DatabaseErrorKind::Unknown, message) {
            Some(Failure::OfServer(kind)) => Some(kind),
            _ => None,
        };
        for (message, expected) in [
            (
                "connection to server at \"db\", port 5432 failed: Connection refused",
                DatabaseFailure::ConnectionLost,
            ),
            (
                "connection to server at \"db\", port 5432 failed: FATAL:  password authentication failed for user \"ada\"",
                DatabaseFailure::PermissionDenied,
            ),
            (
                "connection to server at \"db\", port 5432 failed: FATAL:  database \"x\" does not exist",
                DatabaseFailure::Missing,
            ),
            (
                "sslmode value \"require\" invalid when SSL support is not compiled in",
                DatabaseFailure::CannotOpen,
            ),
        ] {
            assert_eq!(kind(message), Some(expected), "{message}");
        }
        for name in ["role \"app\"", "database \"x\""] {
            let full = format!(
                "connection to server at \"db\" failed: FATAL:  too many connections for {name}"
            );
            let failure = classify(&DatabaseErrorKind::Unknown, &full);
            assert!(matches!(failure, Some(Failure::Locked)), "{full}");
        }
    }
}
