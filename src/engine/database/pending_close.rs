//! Connections of databases that were dropped, until somebody closes them.
//!
//! Closing may move a whole log into the file, and a database is dropped on any thread, also by a runtime that refuses to
//! run anything. So its connections wait here, and whoever may wait closes them: a thread of the blocking pool, or whoever
//! opens the same file again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::connections::Connections;
use crate::engine::file_identity::FileIdentity;
use crate::engine::runtime::drop_on_blocking_pool;

static PENDING: Mutex<Vec<PendingClose>> = Mutex::new(Vec::new());

struct PendingClose {
    identity: FileIdentity,
    connections: Connections,
    runtime: Handle,
}

/// Held while a file is located and created, and while a file's connections are closed: no file is created twice, none is
/// closed while SQLite opens it, and who opens a file again finds it closed. Only on threads that may wait.
static OPENING: Mutex<()> = Mutex::new(());

/// Proof that the process-wide lock is held.
pub(super) struct OpeningLock {
    _guard: MutexGuard<'static, ()>,
}

pub(super) fn lock_opening() -> OpeningLock {
    OpeningLock {
        _guard: lock(&OPENING),
    }
}

/// Leaves connections to be closed.
pub(super) fn defer_close(identity: FileIdentity, connections: Connections, runtime: Handle) {
    lock(&PENDING).push(PendingClose {
        identity,
        connections,
        runtime,
    });
}

/// Closes what waits for this file on a thread of the blocking pool, or here where there is no runtime.
pub(super) fn close_soon(identity: FileIdentity) {
    drop_on_blocking_pool(CloseOnDrop(identity));
}

/// Closes when it is dropped: a runtime that refuses to run it drops it at once.
struct CloseOnDrop(FileIdentity);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        close_pending(&self.0, &lock_opening());
    }
}

/// Closes what waits for this file.
pub(super) fn close_pending(identity: &FileIdentity, _lock: &OpeningLock) {
    let pending: Vec<PendingClose> = {
        let mut all = lock(&PENDING);
        let (these, others) = std::mem::take(&mut *all)
            .into_iter()
            .partition(|pending| pending.identity == *identity);
        *all = others;
        these
    };
    for PendingClose {
        connections,
        runtime,
        ..
    } in pending
    {
        // deadpool closes connections through the current runtime, and panics where there is none.
        let _inside = runtime.enter();
        connections.close();
        drop(connections);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
