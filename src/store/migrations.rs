//! The migrations of the database, of all prefixes.

use tracing::Instrument;

use super::core::{Backend, StoreCore, operation_span};
use crate::engine::Handle;
use crate::error::StateStoreError;
use crate::migrations::{MigrationRecord, PendingMigration, Revert};

/// The migrations of the database. What runs them is [`SqliteStateStore::initialize`](crate::SqliteStateStore::initialize).
#[derive(Debug, Clone, Copy)]
pub struct Migrations<'s> {
    core: &'s StoreCore,
}

impl<'s> Migrations<'s> {
    pub(super) fn new(core: &'s StoreCore) -> Self {
        Self { core }
    }

    fn engine(&self) -> Result<&'s Handle, StateStoreError> {
        self.core.scope()?;
        let Backend::Sqlite(handle) = &self.core.backend;
        Ok(handle)
    }

    /// Returns the migrations that the database has, by version.
    ///
    /// # Errors
    /// `NewerDatabase` and `ForeignDatabase` for a file that isn't ours.
    pub async fn applied(&self) -> Result<Vec<MigrationRecord>, StateStoreError> {
        let schema = self.engine()?.schema("migrations.applied");
        let schema = schema.instrument(operation_span("migrations.applied"));
        Ok(schema.await?.history())
    }

    /// Returns the migrations that the database lacks, by version.
    ///
    /// # Errors
    /// As [`applied`](Self::applied).
    pub async fn pending(&self) -> Result<Vec<PendingMigration>, StateStoreError> {
        let schema = self.engine()?.schema("migrations.pending");
        let schema = schema.instrument(operation_span("migrations.pending"));
        Ok(schema.await?.pending())
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

    async fn undo(&self, operation: &'static str, keep: bool) -> Result<Revert, StateStoreError> {
        self.engine()?
            .revert(operation, keep)
            .instrument(operation_span(operation))
            .await
    }
}
