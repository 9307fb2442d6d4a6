//! How a database is closed: by its last store, or because nobody holds it any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use diesel::SqliteConnection;

use super::pending_close::{close_pending, close_soon, defer_close, lock_opening};
use super::{Database, OPEN};
use crate::commit_notes::CommitNotes;
use crate::engine::schema;
use crate::engine::wal;
use crate::engine::writer::{WriteKind, WriteSize};
use crate::error::StateStoreError;

impl Database {
    /// Indexes the events that wait. Those that can't be indexed now are found all the same, and indexed with the next.
    async fn index_rest(self: &Arc<Self>) {
        let Ok(connections) = self.connections() else {
            return;
        };
        let indexing = connections.writer.indexing();
        while indexing.may_index() {
            let own = Arc::clone(indexing);
            let work = move |connection: &mut SqliteConnection, _: &mut CommitNotes| {
                own.index_block(connection)
            };
            let indexed = self
                .submit("close", WriteKind::Bulk, WriteSize::SMALL, work)
                .await;
            if let Err(error) = indexed {
                tracing::debug!(%error, "events that were appended last are not indexed yet");
                break;
            }
        }
    }

    /// Moves the log into the file, and closes every connection, unless a store has opened the file again. May be called
    /// again when it was dropped half-way.
    pub(in crate::engine) async fn shut_down(self: &Arc<Self>) -> Result<(), StateStoreError> {
        let connections = self.connections()?;
        connections.readers.settle().await;
        let checkpointer = Arc::clone(&connections.checkpointer);
        // Without a runtime nothing is being moved.
        let content = self
            .blocking(move |database| {
                checkpointer.settle();
                schema::refuse_foreign_content(&database.file)
            })
            .await;
        // One that was dropped may be closing the connections now: the writer must not open another.
        let is_closing = self.is_closing.load(Ordering::Acquire);
        // The log may be another file's by now.
        let place = match content {
            Err(moved @ StateStoreError::DatabaseMoved { .. }) => Err(moved),
            // Without a runtime nobody could look.
            _ => self.file.check_place(),
        };
        let may_write = self.is_ready.load(Ordering::Acquire)
            && !is_closing
            && place.is_ok()
            && !self.file.is_read_only();
        let checkpointed = if may_write {
            self.index_rest().await;
            let checkpoint = |connection: &mut SqliteConnection, _: &mut CommitNotes| {
                wal::move_before_closing(connection)
            };
            self.submit_outside_transaction("close", checkpoint).await
        } else {
            Ok(())
        };
        self.is_closing.store(true, Ordering::Release);
        let closing = CloseOnDrop(Arc::clone(self));
        let closed = self
            .blocking(move |_| {
                drop(closing);
                Ok(())
            })
            .await;
        match place.and(checkpointed).and(closed) {
            // The runtime is gone: the connections were closed on this thread, the last with a checkpoint of its own.
            Err(StateStoreError::Closed) => Ok(()),
            result => result,
        }
    }

    /// Closes the connections, unless a store has the database open; returns whether it did. On a thread that may wait.
    fn close_unused(&self) -> bool {
        let lock = lock_opening();
        if !OPEN.remove_unused(&self.identity, self.id) {
            return false;
        }
        if let Ok(connections) = self.connections() {
            connections.close();
        }
        close_pending(&self.identity, &lock);
        true
    }
}

/// Closes the connections when it is dropped, also by a runtime that refuses to run it.
struct CloseOnDrop(Arc<Database>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        // deadpool's pool asks for one.
        let _inside = self.0.runtime.enter();
        let is_closed = self.0.close_unused();
        self.0.is_closing.store(is_closed, Ordering::Release);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.take() {
            defer_close(self.identity.clone(), connections, self.runtime.clone());
            OPEN.remove(&self.identity, self.id);
            close_soon(self.identity.clone());
        }
    }
}
