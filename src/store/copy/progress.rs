//! How far a copy has come.

use std::sync::Arc;

use crate::models::CopiedTable;

/// Who hears how far a copy has come.
pub(super) type Notify = Arc<dyn Fn(&CopyProgress) + Send + Sync>;

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// The table that it is at.
    pub table: &'static str,
    /// Rows that are there, of all tables; or that were checked.
    pub rows: u64,
    /// Rows of all tables.
    pub total: u64,
    /// Whether they are in the target, and are read once more to check them.
    pub is_verifying: bool,
}

/// Tells how far it is.
#[derive(Clone, Default)]
pub(super) struct Progress {
    pub(super) notify: Option<Notify>,
    pub(super) rows: u64,
    pub(super) total: u64,
    pub(super) is_verifying: bool,
}

impl Progress {
    pub(super) fn add(&mut self, table: CopiedTable, rows: usize) {
        self.rows += rows as u64;
        if let Some(notify) = &self.notify {
            notify(&CopyProgress {
                table: table.name(),
                rows: self.rows,
                total: self.total,
                is_verifying: self.is_verifying,
            });
        }
    }
}
