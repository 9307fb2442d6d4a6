//! Stores to test, filled or held.

use std::sync::mpsc;

use descartes_state::{
    AnyStateStore, ChangeIf, Durability, Session, SqliteStateStore, StateStoreError, StoreOptions,
};
use tempfile::TempDir;

use crate::{DEADLINE, agent, event, soon, task};

/// Options for tests that don't look at durability: no fsync, few timeouts that matter.
#[must_use]
pub fn quick() -> StoreOptions {
    StoreOptions::default().durability(Durability::Relaxed)
}

/// Opens a store on a new file; returns also the directory that the file is in.
pub async fn open(options: StoreOptions) -> (TempDir, SqliteStateStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory, options).await;
    (directory, store)
}

/// Opens a store on the file `state.db` of a directory.
pub async fn open_in(directory: &TempDir, options: StoreOptions) -> SqliteStateStore {
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::open(path, options).await.unwrap();
    store.initialize().await.unwrap();
    store
}

/// The writer of a store, held by a closure until it is released.
#[derive(Debug)]
pub struct HeldWriter {
    release: mpsc::Sender<()>,
    holder: tokio::task::JoinHandle<Result<(), StateStoreError>>,
}

impl HeldWriter {
    /// Returns when the closure has the writer, and has written an agent `holder`.
    pub async fn new(store: &SqliteStateStore) -> Self {
        let (release, released) = mpsc::channel();
        let (entered, has_entered) = tokio::sync::oneshot::channel();
        let store = store.clone();
        let holder = tokio::spawn(async move {
            store
                .transact(move |tx| {
                    tx.agents().save(&agent("holder"))?;
                    entered.send(()).unwrap();
                    // An error: the test is over.
                    let _ = released.recv_timeout(DEADLINE);
                    Ok(())
                })
                .await
        });
        soon(has_entered).await.unwrap();
        Self { release, holder }
    }

    /// Lets the closure end, and waits for that.
    pub async fn release(self) {
        self.release.send(()).unwrap();
        soon(self.holder).await.unwrap().unwrap();
    }
}

/// Puts rows into every table that keeps any, under two prefixes.
pub async fn populate<S: Clone + Into<AnyStateStore>>(store: &S) {
    let store: AnyStateStore = store.clone().into();
    for prefix in ["", "tenant"] {
        let store = store.with_prefix(prefix);
        store.save_agent_state(&agent("agent")).await.unwrap();
        let transition = store.record_state_transition("agent", "{}", "{\"step\":1}", None);
        transition.await.unwrap();
        let snapshot = store.create_snapshot("agent", Some("first".into()));
        snapshot.await.unwrap();
        let events = [0, 1, 2].map(|number| event(&format!("findable words, number {number}")));
        store.events().append_all(&events).await.unwrap();
        let purged = task("purged");
        store.save_task(&task("kept")).await.unwrap();
        store.save_task(&purged).await.unwrap();
        // What a purge leaves is a row in revision_floors.
        let tasks = store.tasks();
        tasks.purge(&purged.id, ChangeIf::Any).await.unwrap();
        let session = Session::new("session", "agent");
        store.sessions().start(&session).await.unwrap();
    }
}
