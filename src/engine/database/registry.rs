//! What is open in this process, by file, and how many stores each has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::engine::file_identity::FileIdentity;
use crate::engine::transaction::DatabaseId;
use crate::error::StateStoreError;

pub(super) struct Registry<D> {
    open: Mutex<Option<HashMap<FileIdentity, Entry<D>>>>,
}

struct Entry<D> {
    id: DatabaseId,
    database: Weak<D>,
    stores: usize,
}

/// What somebody who wants to join makes of the database that is open.
pub(super) enum Verdict {
    Join,
    /// The file's number is another's by now.
    Stale,
    Refuse(StateStoreError),
}

/// What joining came to.
pub(super) enum Joined<D> {
    Database(Arc<D>),
    NotOpen,
    /// Not open any more: the old one, to be dropped where no lock is held.
    Stale(Arc<D>),
    Refused(Arc<D>, StateStoreError),
}

impl<D> Registry<D> {
    pub(super) const fn new() -> Self {
        Self {
            open: Mutex::new(None),
        }
    }

    /// Joins the database that has the file open, if there is one and `judge` lets it.
    pub(super) fn join(&self, identity: &FileIdentity, judge: impl Fn(&D) -> Verdict) -> Joined<D> {
        loop {
            let mut open = self.lock();
            let Some(entry) = open.as_mut().and_then(|all| all.get_mut(identity)) else {
                return Joined::NotOpen;
            };
            let Some(database) = entry.database.upgrade() else {
                // It is being dropped at this moment, on another thread.
                drop(open);
                std::thread::yield_now();
                continue;
            };
            return match judge(&database) {
                Verdict::Join => {
                    entry.stores += 1;
                    Joined::Database(database)
                }
                Verdict::Stale => Joined::Stale(database),
                Verdict::Refuse(error) => Joined::Refused(database, error),
            };
        }
    }

    /// Lists a database that was just opened, with its first store.
    pub(super) fn add(&self, identity: FileIdentity, id: DatabaseId, database: &Arc<D>) {
        let entry = Entry {
            id,
            database: Arc::downgrade(database),
            stores: 1,
        };
        self.lock().get_or_insert_default().insert(identity, entry);
    }

    /// Counts one store fewer that has the database open; returns whether it was the last.
    pub(super) fn leave(&self, identity: &FileIdentity, id: DatabaseId) -> bool {
        let mut open = self.lock();
        match open.as_mut().and_then(|all| all.get_mut(identity)) {
            Some(entry) if entry.id == id => {
                entry.stores -= 1;
                entry.stores == 0
            }
            _ => true,
        }
    }

    /// Takes the database out, unless a store has it open; from then on the file is opened again. Returns whether it is
    /// out.
    pub(super) fn remove_unused(&self, identity: &FileIdentity, id: DatabaseId) -> bool {
        let mut open = self.lock();
        let Some(all) = open.as_mut() else {
            return true;
        };
        match all.get(identity) {
            Some(entry) if entry.id == id && entry.stores > 0 => false,
            Some(entry) if entry.id == id => {
                all.remove(identity);
                true
            }
            _ => true,
        }
    }

    /// Takes a database out that is being dropped.
    pub(super) fn remove(&self, identity: &FileIdentity, id: DatabaseId) {
        let mut open = self.lock();
        if let Some(all) = open.as_mut()
            && all.get(identity).is_some_and(|entry| entry.id == id)
        {
            all.remove(identity);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<FileIdentity, Entry<D>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
