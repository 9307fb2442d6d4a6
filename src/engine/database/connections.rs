//! The connections of an open database: what has to be closed where that may take its time.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_diesel::sqlite::Pool;
use tempfile::TempDir;

use crate::engine::connection::close_pool;
use crate::engine::file::DatabaseFile;
use crate::engine::readers::Readers;
use crate::engine::schema::refuse_foreign_content;
use crate::engine::wal::Checkpointer;
use crate::engine::writer::Writer;

pub(in crate::engine) struct Connections {
    pub(in crate::engine) writer: Arc<Writer>,
    pub(in crate::engine) readers: Arc<Readers>,
    pub(in crate::engine) checkpointer: Arc<Checkpointer>,
    pub(super) file: DatabaseFile,
    /// The application's own.
    pub(super) pool: Pool,
    /// Of a temporary store; removed after the connections are closed.
    pub(super) directory: Mutex<Option<TempDir>>,
}

impl Connections {
    /// Closes what nobody uses, on this thread, so that it is closed when this returns. Inside a runtime only.
    pub(super) fn close(&self) {
        // The last connection that is closed moves the log into the file.
        let is_foreign = refuse_foreign_content(&self.file).is_err();
        let own = self
            .writer
            .close()
            .into_iter()
            .chain(self.checkpointer.close())
            .chain(self.readers.take_idle());
        for mut connection in own {
            if is_foreign {
                connection.abandon();
            }
        }
        close_pool(&self.pool, |connection| {
            if is_foreign {
                std::mem::forget(connection);
            }
        });
        let directory = self
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Err(error)) = directory.map(TempDir::close) {
            tracing::warn!(%error, "a temporary store's directory could not be removed");
        }
    }
}
