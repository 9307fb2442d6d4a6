//! The migrations of the database, of all prefixes.

use tracing::Instrument;

use super::core::{Backend, StoreCore, operation_span};
use crate::error::StateStoreError;
use crate::migrations::{
    self, AppliedMigration, Known, MigrationRecord, PendingMigration, Revert, history, pending,
};

/// The migrations of the database. What runs them is [`SqliteStateStore::initialize`](crate::SqliteStateStore::initialize).
#[derive(Debug, Clone, Copy)]
pub struct Migrations<'s> {
    core: &'s StoreCore,
}

impl<'s> Migrations<'s> {
    pub(super) fn new(core: &'s StoreCore) -> Self {
        Self { core }
    }

    /// Returns the migrations that the database has, by version.
    ///
    /// # Errors
    /// `NewerDatabase` and `ForeignDatabase` for a file that isn't ours.
    pub async fn applied(&self) -> Result<Vec<MigrationRecord>, StateStoreError> {
        let applied = self.read("migrations.applied").await?;
        Ok(history(self.known(), &applied))
    }

    /// Returns the migrations that the database lacks, by version.
    ///
    /// # Errors
    /// As [`applied`](Self::applied).
    pub async fn pending(&self) -> Result<Vec<PendingMigration>, StateStoreError> {
        let applied = self.read("migrations.pending").await?;
        Ok(pending(self.known(), &applied))
    }

    /// Returns what [`revert`](Self::revert) would take. Nothing is changed.
    ///
    /// # Errors
    /// `MigrationError` where no migration is applied.
    pub async fn preview_revert(&self) -> Result<Revert, StateStoreError> {
        self.undo("migrations.preview_revert", false).await
    }

    /// Reverts the last migration, with the tables that it made and their rows of every prefix.
    ///
    /// # Errors
    /// `MigrationError` where no migration is applied.
    pub async fn revert(&self) -> Result<Revert, StateStoreError> {
        self.undo("migrations.revert", true).await
    }

    fn known(&self) -> &'static [Known] {
        match &self.core.backend {
            Backend::Sqlite(_) => migrations::KNOWN,
            #[cfg(feature = "postgres")]
            Backend::Postgres(..) => migrations::postgres::KNOWN,
        }
    }

    async fn read(
        &self,
        operation: &'static str,
    ) -> Result<Vec<AppliedMigration>, StateStoreError> {
        self.core.scope()?;
        let span = operation_span(operation);
        match &self.core.backend {
            Backend::Sqlite(handle) => {
                let schema = handle.schema(operation).instrument(span).await?;
                Ok(schema.into_applied())
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => handle.schema(operation).instrument(span).await,
        }
    }

    async fn undo(&self, operation: &'static str, keep: bool) -> Result<Revert, StateStoreError> {
        self.core.scope()?;
        let span = operation_span(operation);
        match &self.core.backend {
            Backend::Sqlite(handle) => handle.revert(operation, keep).instrument(span).await,
            #[cfg(feature = "postgres")]
            Backend::Postgres(handle, _) => handle.revert(operation, keep).instrument(span).await,
        }
    }
}
