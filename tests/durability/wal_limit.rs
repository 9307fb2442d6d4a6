//! The limit of the write-ahead log holds however the writes come, and is warned of once.

use std::sync::mpsc;

use descartes_state::{AgentFilter, AgentState, SqliteStateStore, StateStoreError};
use descartes_state_testing::{DEADLINE, agent, numbered_event, open, quick, soon};

use crate::warnings::{capture_warnings, warnings};

const MIB: u64 = 1024 * 1024;
const LOOK: u64 = 4 * MIB;

fn large(id: &str, pages: usize) -> AgentState {
    AgentState {
        state_data: "x".repeat(pages * 4096),
        ..agent(id)
    }
}

fn log_size(store: &SqliteStateStore) -> u64 {
    let path = format!("{}-wal", store.path().display());
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

struct OpenRead {
    release: mpsc::Sender<()>,
    reader: tokio::task::JoinHandle<Result<i64, StateStoreError>>,
}

impl OpenRead {
    async fn new(store: &SqliteStateStore) -> Self {
        let (release, released) = mpsc::channel();
        let (entered, has_entered) = tokio::sync::oneshot::channel();
        let store = store.clone();
        let reader = tokio::spawn(async move {
            store
                .read(move |tx| {
                    let before = tx.agents().count(&AgentFilter::default())?;
                    entered.send(()).unwrap();
                    let _ = released.recv_timeout(DEADLINE);
                    Ok(before)
                })
                .await
        });
        soon(has_entered).await.unwrap();
        Self { release, reader }
    }

    async fn release(self) {
        self.release.send(()).unwrap();
        soon(self.reader).await.unwrap().unwrap();
    }
}

/// Saves until the log is full or `most` bytes long.
async fn fill(store: &SqliteStateStore, pages: usize, most: u64) -> u64 {
    let mut largest = 0;
    for number in 0..20_000 {
        let saved = soon(store.save_agent_state(&large(&format!("{number}"), pages))).await;
        largest = largest.max(log_size(store));
        match saved {
            Err(StateStoreError::WalFull { .. }) => return largest,
            _ if largest > most => return largest,
            other => other.unwrap(),
        }
        tokio::task::yield_now().await;
    }
    panic!("never full: {largest}");
}

#[tokio::test]
async fn the_limit_holds_in_each_round_of_readers() {
    let limit = 5 * MIB;
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    for round in 0..6 {
        let read = OpenRead::new(&store).await;
        let largest = fill(&store, 16, 256 * MIB).await;
        assert!(largest < limit + LOOK + MIB, "{round}: {largest}");
        read.release().await;
        soon(store.save_agent_state(&agent("next"))).await.unwrap();
    }
}

#[tokio::test]
async fn the_limit_holds_where_large_writes_come_after_small_ones() {
    let limit = 8 * MIB;
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    for round in 0..40 {
        let writers: Vec<_> = (0..200)
            .map(|writer| {
                let store = store.clone();
                let id = u128::from(round * 1_000u32 + writer);
                tokio::spawn(async move { store.save_event(&numbered_event(id, "small")).await })
            })
            .collect();
        for writer in writers {
            soon(writer).await.unwrap().unwrap();
        }
    }
    let read = OpenRead::new(&store).await;
    let largest = fill(&store, 64, 256 * MIB).await;
    read.release().await;
    assert!(largest < limit + LOOK + MIB, "{largest}");
}

#[tokio::test]
async fn the_limit_holds_for_bulk_writes_after_small_ones() {
    let limit = 8 * MIB;
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    for number in 0..2_000u128 {
        store
            .save_event(&numbered_event(number, "small"))
            .await
            .unwrap();
        tokio::task::yield_now().await;
    }
    let read = OpenRead::new(&store).await;
    let mut largest = 0;
    for round in 1..200u128 {
        let events: Vec<_> = (0..200)
            .map(|number| numbered_event(round * 10_000 + number, &"word ".repeat(1_000)))
            .collect();
        if store.events().append_all(&events).await.is_err() {
            break;
        }
        largest = log_size(&store);
        if largest > 128 * MIB {
            break;
        }
    }
    read.release().await;
    assert!(largest < limit + LOOK + 8 * MIB, "{largest}");
}

/// None of them is long, but at no time nobody reads.
#[tokio::test]
async fn the_limit_holds_where_reads_take_turns() {
    let limit = 8 * MIB;
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    let mut read = OpenRead::new(&store).await;
    let mut largest = 0;
    'relay: for round in 0..200 {
        // About 1.3 MiB a turn.
        for number in 0..20 {
            let state = large(&format!("{round}-{number}"), 16);
            if store.save_agent_state(&state).await.is_err() {
                break 'relay;
            }
            tokio::task::yield_now().await;
        }
        let next = OpenRead::new(&store).await;
        std::mem::replace(&mut read, next).release().await;
        largest = log_size(&store);
        if largest > 128 * MIB {
            break;
        }
    }
    read.release().await;
    assert!(largest < limit + LOOK + 4 * MIB, "{largest}");
}

/// One warning for each refused write would fill the program's own log.
#[tokio::test]
async fn a_full_log_is_warned_of_once_and_not_at_each_refused_write() {
    let limit = 5 * MIB + 7;
    capture_warnings();
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    let read = OpenRead::new(&store).await;
    fill(&store, 16, 256 * MIB).await;
    for _ in 0..100 {
        store.save_agent_state(&agent("refused")).await.unwrap_err();
    }
    let warned = warnings(limit).len();
    read.release().await;
    assert!((1..=3).contains(&warned), "{warned} warnings");
}

#[test]
fn the_limit_holds_after_the_runtime_that_made_the_store_is_gone() {
    let limit = 8 * MIB;
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let (_directory, store) = first.block_on(open(quick().wal_limit(limit)));
    first
        .block_on(store.save_agent_state(&agent("first")))
        .unwrap();
    drop(first);
    let second = runtime();
    let largest = second.block_on(async {
        let read = OpenRead::new(&store).await;
        let largest = fill(&store, 16, 256 * MIB).await;
        read.release().await;
        soon(store.save_agent_state(&agent("next"))).await.unwrap();
        largest
    });
    assert!(largest < limit + LOOK + MIB, "{largest}");
    second.block_on(async { drop(store) });
}

#[tokio::test]
async fn a_limit_under_which_nothing_could_be_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let refused = SqliteStateStore::open(&path, quick().wal_limit(0)).await;
    assert!(matches!(refused, Err(StateStoreError::InvalidInput { .. })));
}

#[tokio::test]
async fn closing_moves_the_log_also_while_it_is_being_moved_and_another_has_the_file_open() {
    use descartes_state::diesel::{Connection, SqliteConnection, connection::SimpleConnection};
    for _ in 0..10 {
        let (_directory, store) = open(quick()).await;
        let path = store.path().to_owned();
        let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        other
            .batch_execute("SELECT count(*) FROM agent_states;")
            .unwrap();
        let events: Vec<_> = (0..3_000)
            .map(|number| numbered_event(number, &"word ".repeat(200)))
            .collect();
        soon(store.events().append_all(&events)).await.unwrap();
        soon(store.close()).await.unwrap();
        assert_eq!(log_size(&store), 0);
    }
}
