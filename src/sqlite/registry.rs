//! The cores that are open in this process, by file; and what is left to be closed of those that are gone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tempfile::TempDir;
use tokio::runtime::Handle;

use super::closure::CoreId;
use super::connect::{DatabaseFile, Identity};
use super::core::{Connections, Core};
use super::options::{Durability, StoreOptions};
use super::threads::drop_elsewhere;
use super::writer::Finish;
use crate::error::StateStoreError;

/// The cores that are open, and how many stores each has.
static OPEN: Mutex<Option<HashMap<Identity, Entry>>> = Mutex::new(None);

struct Entry {
    id: CoreId,
    core: Weak<Core>,
    stores: usize,
}

/// The connections of cores that are gone, until somebody closes them.
static REMAINS: Mutex<Vec<Remains>> = Mutex::new(Vec::new());

struct Remains {
    identity: Identity,
    connections: Connections,
    runtime: Handle,
}

/// Held while a file is located and created, and while a file's connections are closed: no file is created twice, none
/// is closed while SQLite opens it, and who opens a file again finds it closed. Only on threads that may wait.
static CREATION: Mutex<()> = Mutex::new(());

/// Finds the core of the file, or makes it.
pub(super) fn join(
    path: &Path,
    options: &StoreOptions,
    runtime: &Handle,
    finish: Finish,
    directory: Option<TempDir>,
) -> Result<Arc<Core>, StateStoreError> {
    // A core that isn't joined may be the last of its kind: dropping it takes these locks.
    let mut unwanted = None;
    let joined = {
        let _creation = lock(&CREATION);
        let file = DatabaseFile::locate(path, options.mode)?;
        let identity = file.identity()?;
        match entered(&identity, options, &mut unwanted) {
            Some(joined) => joined,
            None => {
                close_remains(&identity);
                let core = Core::new(file, identity, options, runtime.clone(), finish, directory);
                core.map(|core| enter(Arc::new(core)))
            }
        }
    };
    drop(unwanted);
    joined
}

/// Joins the core that has the file open, if there is one.
fn entered(
    identity: &Identity,
    options: &StoreOptions,
    unwanted: &mut Option<Arc<Core>>,
) -> Option<Result<Arc<Core>, StateStoreError>> {
    loop {
        let mut open = lock(&OPEN);
        let entry = open.as_mut()?.get_mut(identity)?;
        let Some(core) = entry.core.upgrade() else {
            // It is being dropped at this moment, on another thread.
            drop(open);
            std::thread::yield_now();
            continue;
        };
        // The file may be gone, and its number another's.
        if !core.file.identity().is_ok_and(|found| found == *identity) {
            *unwanted = Some(core);
            return None;
        }
        if core.durability == Durability::Relaxed && options.durability == Durability::Full {
            *unwanted = Some(core);
            return Some(Err(StateStoreError::invalid(
                "options",
                "the file is open in this process with relaxed durability: close that store first",
            )));
        }
        entry.stores += 1;
        return Some(Ok(core));
    }
}

fn enter(core: Arc<Core>) -> Arc<Core> {
    let entry = Entry {
        id: core.id,
        core: Arc::downgrade(&core),
        stores: 1,
    };
    lock(&OPEN)
        .get_or_insert_default()
        .insert(core.identity.clone(), entry);
    core
}

/// One store fewer has the core open; true if it was the last.
pub(super) fn leave(core: &Core) -> bool {
    let mut open = lock(&OPEN);
    let entry = open
        .as_mut()
        .and_then(|cores| cores.get_mut(&core.identity));
    match entry {
        Some(entry) if entry.id == core.id => {
            entry.stores -= 1;
            entry.stores == 0
        }
        _ => true,
    }
}

/// Takes the core out, unless a store has it open; from then on the file is opened anew.
fn take_out(core: &Core) -> bool {
    let mut open = lock(&OPEN);
    let Some(cores) = open.as_mut() else {
        return true;
    };
    match cores.get(&core.identity) {
        Some(entry) if entry.id == core.id => {
            if entry.stores > 0 {
                return false;
            }
            cores.remove(&core.identity);
            true
        }
        _ => true,
    }
}

/// Closes the connections of a core, unless a store has it open; false then. On a thread that may wait.
pub(super) fn close_unused(core: &Core) -> bool {
    let _creation = lock(&CREATION);
    if !take_out(core) {
        return false;
    }
    if let Ok(connections) = core.connections() {
        connections.close();
    }
    close_remains(&core.identity);
    true
}

/// Closes the connections of a core that is being dropped, wherever that is.
pub(super) fn bury(core: &Core, connections: Connections) {
    let identity = core.identity.clone();
    lock(&REMAINS).push(Remains {
        identity: identity.clone(),
        connections,
        runtime: core.runtime.clone(),
    });
    let mut open = lock(&OPEN);
    if let Some(cores) = open.as_mut()
        && cores
            .get(&identity)
            .is_some_and(|entry| entry.id == core.id)
    {
        cores.remove(&identity);
    }
    drop(open);
    drop_elsewhere(Burial(identity));
}

/// Closes what is left when it is dropped, also by a runtime that refuses to run it.
struct Burial(Identity);

impl Drop for Burial {
    fn drop(&mut self) {
        let _creation = lock(&CREATION);
        close_remains(&self.0);
    }
}

/// The caller holds `CREATION`.
fn close_remains(identity: &Identity) {
    let remains: Vec<Remains> = {
        let mut all = lock(&REMAINS);
        let (these, others) = std::mem::take(&mut *all)
            .into_iter()
            .partition(|remains| remains.identity == *identity);
        *all = others;
        these
    };
    for Remains {
        connections,
        runtime,
        ..
    } in remains
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
