//! What the store's failures mean to a run: which pass, which never do, and which a row is to blame for.

use std::time::Duration;

use descartes_state::StateStoreError;
use descartes_state::error::ErrorKind;
use tokio::time::Instant;

/// What the store's failures come to.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// When to try again after a failure; `None` while all is well.
    pub(super) retry: Option<(Instant, Duration)>,
    /// Nothing can ever be written again.
    pub(super) is_final: bool,
    /// Whether the last write may be in the store all the same.
    pub(super) is_unknown: bool,
    pub(super) has_been_told: bool,
    pub(super) has_told_of_loss: bool,
}

/// Returns whether the store can never be written to again by this process.
pub(super) fn is_final(error: &StateStoreError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DatabaseMoved
            | ErrorKind::ForeignWal
            | ErrorKind::ForeignDatabase
            | ErrorKind::NewerDatabase
            | ErrorKind::NotADatabase
            | ErrorKind::Closed
    )
}
