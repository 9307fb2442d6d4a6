//! Many writes after the runtime that made the store is gone: its threads are no longer there to move the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use descartes_state::{AgentState, SqliteStateStore, StateStoreError};
use descartes_state_testing::{agent, assert_intact, block_on, connect, count, open, quick, soon};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const MIB: u64 = 1024 * 1024;

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// No page of it is as before: SQLite writes no page that doesn't change.
fn large(id: &str) -> AgentState {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let line = format!("{:>64}", NEXT.fetch_add(1, Ordering::Relaxed));
    AgentState {
        state_data: line.repeat(1024),
        ..agent(id)
    }
}

/// A store, used by the runtime that made it and is gone.
fn orphan() -> (TempDir, SqliteStateStore) {
    let maker = runtime();
    let (directory, store) = maker.block_on(open(quick()));
    maker
        .block_on(store.save_agent_state(&large("first")))
        .unwrap();
    drop(maker);
    (directory, store)
}

fn log_size(store: &SqliteStateStore) -> u64 {
    let log = format!("{}-wal", store.path().display());
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// Panics anywhere: of background threads nobody else hears.
fn panics() -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::<Mutex<Vec<String>>>::default();
    let (seen, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        seen.lock().unwrap().push(panic.to_string());
        before(panic);
    }));
    panics
}

#[test]
fn many_writes_after_the_makers_end_are_kept_and_leave_no_endless_log() {
    let panics = panics();
    let (directory, store) = orphan();
    let next = runtime();
    let largest = next.block_on(async {
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut largest = 0;
                    for number in 0..100 {
                        let id = format!("{writer}-{}", number % 4);
                        store.save_agent_state(&large(&id)).await.unwrap();
                        largest = largest.max(log_size(&store));
                    }
                    largest
                })
            })
            .collect();
        let mut largest = 0;
        for writer in writers {
            largest = largest.max(soon(writer).await.unwrap());
        }
        largest
    });
    // They wrote 100 MiB and more.
    assert!(largest < 64 * MIB, "{largest}");
    next.block_on(store.close()).unwrap();
    assert!(!directory.path().join("state.db-wal").exists());
    let mut other = connect(&directory.path().join("state.db"));
    assert_eq!(count(&mut other, "agent_states"), 65);
    assert_intact(&mut other);

    // Without any runtime each call is done, or says that the store is closed.
    let (directory, store) = orphan();
    let mut written = 1;
    for number in 0..300 {
        match block_on(store.save_agent_state(&large(&number.to_string()))) {
            Ok(()) => written += 1,
            Err(StateStoreError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }
    block_on(store.close()).unwrap();
    let mut other = connect(&directory.path().join("state.db"));
    assert_eq!(count(&mut other, "agent_states"), written);
    assert_intact(&mut other);
    let panics = panics.lock().unwrap();
    assert!(panics.is_empty(), "{panics:#?}");
}
