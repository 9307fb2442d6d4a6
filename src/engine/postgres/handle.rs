//! One store's handle on a database: where calls enter, and begin again where that helps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::PgConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use tokio::runtime::Handle as Runtime;
use tokio::sync::SemaphorePermit;

use super::address::Address;
use super::connections::Connections;
use super::pooler::require_session;
use super::schema;
use super::transaction::{
    BeforeSnapshot, Work, read_in_snapshot, read_once, witness_crashes, write_once,
};
use crate::commit_notes::CommitNotes;
use crate::engine::calls::{Call, Calls};
use crate::engine::options::{OpenMode, StoreOptions};
use crate::engine::transaction::{DatabaseId, refuse_reentry};
use crate::engine::writer::WriteKind;
use crate::error::StateStoreError;
use crate::migrations::{AppliedMigration, Revert};
use crate::read_budget::ReadBudget;

/// One store's handle on a database. Clones of the store share it.
pub(crate) struct Handle {
    id: DatabaseId,
    pub(super) connections: Arc<Connections>,
    pub(super) runtime: Runtime,
    mode: OpenMode,
    calls: Calls,
    /// Whether the schema was seen to be whole, in this life of the server.
    pub(super) is_ready: AtomicBool,
    /// What is asked before a snapshot is taken.
    before_snapshot: BeforeSnapshot,
}

impl Handle {
    /// Opens a store: reads the URL, and asks the server whether it is there.
    pub(crate) async fn open(
        url: &str,
        options: &StoreOptions,
        before_snapshot: BeforeSnapshot,
    ) -> Result<Self, StateStoreError> {
        options.check()?;
        let runtime = Runtime::try_current().map_err(|_| StateStoreError::Unsupported {
            reason: "a store is opened inside a tokio runtime".into(),
        })?;
        let address = Address::parse(url)?;
        let connections = Connections::new(address, options, runtime.clone())?;
        let handle = Self {
            id: DatabaseId::new(),
            connections,
            runtime,
            mode: options.mode,
            calls: Calls::new(),
            is_ready: AtomicBool::new(false),
            before_snapshot,
        };
        let mut slot = handle.connections.acquire("open").await?;
        slot.connect().await?;
        require_session(&handle.runtime, slot, handle.connections.address()).await?;
        warn_of_other_languages(&handle).await?;
        Ok(handle)
    }

    /// Returns where the server is, without the password.
    pub(crate) fn address(&self) -> String {
        self.connections.address().to_string()
    }

    /// Counts a call, so that closing waits for it, whoever does it.
    ///
    /// # Errors
    /// `Reentrant` from inside a closure of the store's own, `Closed` after closing.
    pub(crate) fn call(&self, operation: &'static str) -> Result<Call, StateStoreError> {
        self.calls.enter_for_others(self.id, operation)
    }

    pub(crate) async fn initialize(&self) -> Result<(), StateStoreError> {
        let _call = self.enter("initialize")?;
        let (mode, connections) = (self.mode, Arc::clone(&self.connections));
        self.plain("initialize", move |connection| {
            match mode {
                OpenMode::Create => schema::migrate(connection, connections.address().schema())?,
                OpenMode::Existing => schema::require_whole(connection)?,
            }
            witness_crashes(connection)
        })
        .await?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) async fn schema(
        &self,
        operation: &'static str,
    ) -> Result<Vec<AppliedMigration>, StateStoreError> {
        let _call = self.enter(operation)?;
        self.plain(operation, schema::inspect).await
    }

    /// Reverts the last migration, or only shows what would go.
    pub(crate) async fn revert(
        &self,
        operation: &'static str,
        keep: bool,
    ) -> Result<Revert, StateStoreError> {
        let _call = self.enter(operation)?;
        let mut was_tried = false;
        let revert = self
            .plain(operation, move |connection| {
                // A second time it might be the one before that is reverted.
                if keep && std::mem::replace(&mut was_tried, true) {
                    return Err(StateStoreError::OutcomeUnknown {
                        operation,
                        cause: "the connection broke: ask for the applied migrations".into(),
                    });
                }
                schema::revert_last(connection, keep)
            })
            .await;
        if keep {
            self.is_ready.store(false, Ordering::Release);
        }
        revert
    }

    /// Reads, for the store itself and a call that is counted. The work may run again.
    pub(crate) async fn read<T, F>(
        &self,
        _: &Call,
        operation: &'static str,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &ReadBudget) -> Result<T, StateStoreError> + Send + 'static,
    {
        self.ensure_ready(operation).await?;
        let mut work = move |connection: &mut PgConnection| {
            let budget = ReadBudget::new(None);
            work(connection, &budget)
        };
        self.repeat(operation, move |connection, _| {
            read_once(connection, &mut work)
        })
        .await
    }

    /// Runs a caller's closure in a read transaction: one snapshot.
    pub(crate) async fn read_closure<T, F>(
        &self,
        operation: &'static str,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let _call = self.enter(operation)?;
        self.ensure_ready(operation).await?;
        let (id, before) = (self.id, self.before_snapshot);
        let mut closure = Some(work);
        self.repeat(operation, move |connection, _| {
            read_in_snapshot(connection, id, before, &mut closure)
        })
        .await
    }

    /// Writes for a call that is counted, in a transaction of its own. It takes the locks first, in their order.
    pub(crate) async fn write<T, F>(
        &self,
        _: &Call,
        operation: &'static str,
        kind: WriteKind,
        locks: Vec<i64>,
        mut work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut PgConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        self.ensure_ready(operation).await?;
        let whose = match kind {
            WriteKind::Closure(_) => Work::Closure(self.id),
            _ => Work::Own,
        };
        let attempt = move |connection: &mut PgConnection, life: &mut Option<String>| {
            write_once(connection, life, whose, &locks, &mut work)
        };
        self.repeat_as(operation, whose, attempt).await
    }

    /// Refuses new calls, waits for those in flight, and closes the connections.
    pub(crate) async fn close(&self) -> Result<(), StateStoreError> {
        refuse_reentry(self.id, "close")?;
        self.calls.finish().await;
        self.connections.close().await;
        Ok(())
    }

    /// Runs work outside every transaction of the store.
    async fn plain<T: Send + 'static>(
        &self,
        operation: &'static str,
        mut work: impl FnMut(&mut PgConnection) -> Result<T, StateStoreError> + Send + 'static,
    ) -> Result<T, StateStoreError> {
        self.repeat(operation, move |connection, _| {
            read_once(connection, &mut work)
        })
        .await
    }

    async fn ensure_ready(&self, operation: &'static str) -> Result<(), StateStoreError> {
        if self.is_ready.load(Ordering::Acquire) {
            return Ok(());
        }
        self.plain(operation, |connection| {
            schema::require_whole(connection)?;
            witness_crashes(connection)
        })
        .await?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    fn enter(&self, operation: &'static str) -> Result<SemaphorePermit<'_>, StateStoreError> {
        self.calls.enter(self.id, operation)
    }
}

/// Says so where the server's messages aren't in English, by which the store knows what has failed.
async fn warn_of_other_languages(handle: &Handle) -> Result<(), StateStoreError> {
    let ask = |connection: &mut PgConnection| {
        let language = diesel::select(sql::<Text>("current_setting('lc_messages')"));
        Ok(language.get_result::<String>(connection)?)
    };
    let language = handle.plain("open", ask).await?;
    if !is_english(&language) {
        tracing::warn!(
            language,
            "the server's messages are not in English: a deadlock is not tried again, and a missing table is told as another error; \
             ALTER ROLE ... SET lc_messages = 'C' mends that"
        );
    }
    Ok(())
}

fn is_english(lc_messages: &str) -> bool {
    // Nothing is what the server's environment says.
    ["", "C", "POSIX"].contains(&lc_messages)
        || ["C.", "en", "English"]
            .iter()
            .any(|name| lc_messages.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::is_english;

    #[test]
    fn english_is_known_by_its_locales() {
        for english in [
            "",
            "C",
            "C.UTF-8",
            "POSIX",
            "en_US.UTF-8",
            "en",
            "English_United States.1252",
        ] {
            assert!(is_english(english), "{english}");
        }
        for other in [
            "de_DE.UTF-8",
            "fr",
            "zh_CN.utf8",
            "German_Germany.1252",
            "Chinese",
        ] {
            assert!(!is_english(other), "{other}");
        }
    }
}
