//! What the statements of a table run in.

use super::dialect::Connection;
use crate::commit_notes::CommitNotes;
use crate::models::Scope;
use crate::read_budget::ReadBudget;

/// An open transaction on one backend, and whose rows it sees.
pub(crate) struct TableContext<'t> {
    pub(super) connection: &'t mut Connection,
    pub(super) scope: &'t Scope,
    pub(super) notes: &'t mut CommitNotes,
    /// What a read may read where it runs; `None` within a caller's closure and for a write.
    pub(super) budget: Option<&'t ReadBudget>,
}

impl<'t> TableContext<'t> {
    pub(crate) fn new(
        connection: &'t mut Connection,
        scope: &'t Scope,
        notes: &'t mut CommitNotes,
    ) -> Self {
        Self {
            connection,
            scope,
            notes,
            budget: None,
        }
    }

    /// Counts what is read.
    pub(crate) fn within(self, budget: &'t ReadBudget) -> Self {
        Self {
            budget: Some(budget),
            ..self
        }
    }

    pub(crate) fn reborrow(&mut self) -> TableContext<'_> {
        TableContext {
            connection: self.connection,
            scope: self.scope,
            notes: self.notes,
            budget: self.budget,
        }
    }

    pub(crate) fn scope(&self) -> &'t Scope {
        self.scope
    }
}
