//! What the store itself asks of an error, and makes of it.

use super::{DatabaseError, DatabaseFailure, StateStoreError};

impl StateStoreError {
    /// Names the operation in an error of SQLite's.
    pub(crate) fn during(self, name: &'static str) -> Self {
        match self {
            Self::DatabaseError(mut error) => {
                error.set_operation(name);
                Self::DatabaseError(error)
            }
            Self::Busy { .. } => Self::Busy { operation: name },
            Self::OutcomeUnknown { cause, .. } => Self::OutcomeUnknown {
                operation: name,
                cause,
            },
            other => other,
        }
    }

    /// Returns the same failure once more, for another caller of the same commit.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Busy { operation } => Self::Busy { operation },
            Self::Closed => Self::Closed,
            Self::SearchIndexDamaged { cause } => Self::SearchIndexDamaged {
                cause: cause.to_string().into(),
            },
            Self::DatabaseMoved { path } => Self::DatabaseMoved { path: path.clone() },
            Self::NotInitialized { reason } => Self::NotInitialized {
                reason: reason.clone(),
            },
            Self::NewerDatabase {
                database,
                supported,
            } => Self::NewerDatabase {
                database: *database,
                supported: *supported,
            },
            Self::OutcomeUnknown { operation, cause } => Self::OutcomeUnknown {
                operation,
                cause: cause.to_string().into(),
            },
            Self::Timeout {
                operation,
                waited,
                reason,
            } => Self::Timeout {
                operation,
                waited: *waited,
                reason: reason.clone(),
            },
            Self::Unsupported { reason } => Self::Unsupported {
                reason: reason.clone(),
            },
            Self::DatabaseError(error) => Self::DatabaseError(error.again()),
            other => Self::DatabaseError(DatabaseError::new(
                DatabaseFailure::Other,
                other.to_string(),
            )),
        }
    }

    /// Returns what a failed COMMIT means. Locked, full and refused are known: nothing was kept. Anything else, such as a
    /// failing fsync, leaves open whether the frames reached the disk.
    pub(crate) fn of_commit(self, operation: &'static str) -> Self {
        match self {
            Self::Busy { .. } => Self::Busy { operation },
            Self::DatabaseError(error)
                if matches!(
                    error.kind(),
                    DatabaseFailure::Full | DatabaseFailure::Constraint
                ) =>
            {
                Self::DatabaseError(error).during(operation)
            }
            Self::DatabaseError(error) => Self::OutcomeUnknown {
                operation,
                cause: error.into_inner(),
            },
            other => other,
        }
    }

    /// Returns whether a row of the same key was there.
    pub(crate) fn is_duplicate(&self) -> bool {
        use diesel::result::{DatabaseErrorKind, Error};
        let Self::DatabaseError(error) = self else {
            return false;
        };
        matches!(
            error.get_ref().downcast_ref::<Error>(),
            Some(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
        )
    }

    /// Returns whether SQLite may have rolled the whole transaction back, not only the statement
    /// (<https://www.sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction").
    pub(crate) fn may_end_transaction(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::TransactionEscaped | Self::Panicked { .. } => true,
            // A constraint too, where it says ON CONFLICT ROLLBACK, or a trigger RAISE(ROLLBACK, ..).
            Self::DatabaseError(_) | Self::SearchIndexDamaged { .. } => true,
            _ => false,
        }
    }
}
