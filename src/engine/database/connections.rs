//! The connections of an open database: what has to be closed where that may take its time.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_diesel::sqlite::Pool;
use tempfile::TempDir;

use crate::engine::connection::close_pool;
use crate::engine::readers::Readers;
use crate::engine::wal::Checkpointer;
use crate::engine::writer::Writer;

pub(in crate::engine) struct Connections {
    pub(in crate::engine) writer: Arc<Writer>,
    pub(in crate::engine) readers: Arc<Readers>,
    pub(in crate::engine) checkpointer: Arc<Checkpointer>,
    /// The application's own.
    pub(super) pool: Pool,
    /// Of a temporary store; removed after the connections are closed.
    pub(super) directory: Mutex<Option<TempDir>>,
}

impl Connections {
    /// Closes what nobody uses, on this thread, so that it is closed when this returns. Inside a runtime only.
    pub(super) fn close(&self) {
        drop(self.writer.close());
        self.checkpointer.close();
        drop(self.readers.take_idle());
        close_pool(&self.pool);
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
