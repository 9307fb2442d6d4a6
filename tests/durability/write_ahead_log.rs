//! The write-ahead log: bounded whatever is written and read, and gone when the store is closed.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use descartes_state::{AgentFilter, AgentState, EventFilter, SqliteStateStore, StateStoreError};
use descartes_state_testing::{
    DEADLINE, agent, assert_intact, connect, count, numbered_event, numbered_task, open, open_in,
    quick, soon, until,
};

use crate::warnings::{capture_warnings, warnings};

const MIB: u64 = 1024 * 1024;

/// A state of about so many pages, none of them as before: SQLite writes no page that doesn't change.
fn large(id: &str, pages: usize) -> AgentState {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let line = format!("{:>64}", NEXT.fetch_add(1, Ordering::Relaxed));
    AgentState {
        state_data: line.repeat(pages * 64),
        ..agent(id)
    }
}

fn log_path(store: &SqliteStateStore) -> String {
    format!("{}-wal", store.path().display())
}

/// Bytes of the log file; none where there is no such file.
fn log_size(store: &SqliteStateStore) -> u64 {
    std::fs::metadata(log_path(store)).map_or(0, |metadata| metadata.len())
}

/// A `read` closure that stays open until it is released.
struct OpenRead {
    release: mpsc::Sender<()>,
    reader: tokio::task::JoinHandle<Result<(i64, i64), StateStoreError>>,
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
                    // An error: the test is over.
                    let _ = released.recv_timeout(DEADLINE);
                    Ok((before, tx.agents().count(&AgentFilter::default())?))
                })
                .await
        });
        soon(has_entered).await.unwrap();
        Self { release, reader }
    }

    /// Ends it; what it saw at its begin and at its end.
    async fn release(self) -> (i64, i64) {
        self.release.send(()).unwrap();
        soon(self.reader).await.unwrap().unwrap()
    }
}

/// Saves until the log is full; returns the ids that were acknowledged, the refusal, and the log's greatest size.
async fn fill(
    store: &SqliteStateStore,
    name: &str,
    pages: usize,
) -> (Vec<String>, StateStoreError, u64) {
    let (mut acknowledged, mut largest) = (Vec::new(), 0);
    for number in 0..1_000 {
        let id = format!("{name}-{number}");
        let saved = soon(store.save_agent_state(&large(&id, pages))).await;
        largest = largest.max(log_size(store));
        match saved {
            Ok(()) => acknowledged.push(id),
            Err(refusal) => return (acknowledged, refusal, largest),
        }
        // A task that never waits for anything would leave the others no turn.
        tokio::task::yield_now().await;
    }
    panic!("the log is never full: it holds {largest} bytes");
}

#[tokio::test]
async fn a_read_that_stays_open_lets_the_log_grow_to_its_limit_and_no_further() {
    capture_warnings();
    let limit = 8 * MIB + 1;
    let (directory, store) = open(quick().wal_limit(limit)).await;
    store.save_agent_state(&large("before", 16)).await.unwrap();
    let read = OpenRead::new(&store).await;
    let (mut acknowledged, refusal, largest) = fill(&store, "one", 16).await;

    let StateStoreError::WalFull { bytes, limit: said } = &refusal else {
        panic!("{refusal:?}");
    };
    assert!(*bytes >= limit && *said == limit, "{refusal}");
    assert!(refusal.is_retryable());
    for part in [bytes.to_string(), limit.to_string()] {
        assert!(refusal.to_string().contains(&part), "{refusal}");
    }
    assert!(largest >= limit, "refused at {largest}");
    // What was being written when the limit was reached goes over it.
    assert!(largest < limit + MIB, "{largest}");
    let warned = warnings(limit);
    let first = warned.first().expect("nobody was warned");
    assert!(first.starts_with("WARN "), "{first}");
    assert!(first.contains("a read that is still open"), "{first}");
    assert!(first.contains("bytes="), "{first}");

    // Every kind of write is refused, and reads go on.
    let full = log_size(&store);
    let refused = [
        store.save_agent_state(&agent("refused")).await,
        store.save_event(&numbered_event(1, "refused")).await,
        store
            .events()
            .append_all(&[numbered_event(2, "refused")])
            .await
            .map(drop),
        store
            .transact(|tx| tx.tasks().save(&numbered_task(1)).map(drop))
            .await,
        store.delete_agent("before").await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, StateStoreError::WalFull { .. }), "{error}");
    }
    assert_eq!(log_size(&store), full);
    let saved = i64::try_from(acknowledged.len()).unwrap() + 1;
    let seen = store.agents().count(&AgentFilter::default()).await.unwrap();
    assert_eq!(seen, saved);
    assert_eq!(read.release().await, (1, 1));

    // At once, and then the log is written over from its beginning.
    let (two, three) = (large("at once", 16), numbered_event(3, "at once"));
    soon(store.save_agent_state(&two)).await.unwrap();
    soon(store.save_event(&three)).await.unwrap();
    acknowledged.push("at once".to_owned());
    for number in 0..800 {
        let id = format!("after-{}", number % 8);
        store.save_agent_state(&large(&id, 16)).await.unwrap();
        acknowledged.push(id);
        tokio::task::yield_now().await;
    }
    // That was 50 MiB.
    let left = log_size(&store);
    assert!(left < 32 * MIB, "{left}");
    soon(store.close()).await.unwrap();
    assert!(!Path::new(&log_path(&store)).exists());

    let store = open_in(&directory, quick()).await;
    for id in &acknowledged {
        let found = store.agents().get(id).await.unwrap();
        assert!(found.is_some(), "{id} was acknowledged, and is lost");
    }
    let mut other = connect(store.path());
    assert_eq!(count(&mut other, "events"), 1);
    assert_eq!(count(&mut other, "tasks"), 0);
    assert_eq!(
        count(&mut other, "agent_states WHERE agent_id = 'refused'"),
        0
    );
    assert_intact(&mut other);
}

#[tokio::test]
async fn a_log_that_was_full_can_be_filled_and_emptied_again() {
    capture_warnings();
    let limit = 5 * MIB + 2;
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    for round in 0..4 {
        let read = OpenRead::new(&store).await;
        let (acknowledged, refusal, largest) = fill(&store, &round.to_string(), 16).await;
        assert!(
            matches!(refusal, StateStoreError::WalFull { .. }),
            "{refusal}"
        );
        assert!(!acknowledged.is_empty(), "the log is full from the start");
        assert!(largest < limit + MIB, "{round}: {largest}");
        assert!(!warnings(limit).is_empty());
        read.release().await;
        soon(store.save_agent_state(&agent("next"))).await.unwrap();
    }
    soon(store.close()).await.unwrap();
    assert!(!Path::new(&log_path(&store)).exists());
}

#[tokio::test]
async fn a_connection_of_the_pool_that_keeps_a_read_open_counts_too() {
    use descartes_state::diesel::connection::SimpleConnection;
    let (_directory, store) = open(quick().wal_limit(5 * MIB)).await;
    let connection = store.pool().get().await.unwrap();
    let run = async |sql: &'static str| {
        let done = connection.interact(move |connection| connection.batch_execute(sql));
        soon(done).await.unwrap().unwrap();
    };
    run("BEGIN; SELECT count(*) FROM agent_states;").await;
    let (_, refusal, _) = fill(&store, "one", 16).await;
    assert!(
        matches!(refusal, StateStoreError::WalFull { .. }),
        "{refusal}"
    );
    run("COMMIT;").await;
    soon(store.save_agent_state(&agent("next"))).await.unwrap();
}

/// Sixty-four tasks that write about 128 MiB, and short reads among them; returns the log's greatest size.
async fn steady_load(store: &SqliteStateStore) -> u64 {
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut largest = 0;
                for number in 0..64u128 {
                    let id = format!("{writer}-{}", number % 4);
                    store.save_agent_state(&large(&id, 8)).await.unwrap();
                    largest = largest.max(log_size(&store));
                    assert!(store.load_agent_state(&id).await.unwrap().is_some());
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_stays_bounded_under_steady_load_and_goes_with_the_store() {
    capture_warnings();
    let limit = 64 * MIB + 3;
    let (_directory, store) = open(quick().wal_limit(limit)).await;
    let largest = steady_load(&store).await;
    // What 256 operations of one commit add comes on top.
    assert!(largest < limit, "{largest}");
    // Nobody's read stayed open.
    assert_eq!(warnings(limit), [""; 0]);
    soon(store.close()).await.unwrap();
    assert!(!Path::new(&log_path(&store)).exists());
    let mut other = connect(store.path());
    assert_eq!(count(&mut other, "agent_states"), 256);
    assert_intact(&mut other);
}

#[tokio::test]
async fn the_log_of_an_idle_store_is_moved_without_a_further_write() {
    let (_directory, store) = open(quick()).await;
    // More than 4000 pages, in one write: nothing comes after it.
    store
        .save_agent_state(&large("large", 4_500))
        .await
        .unwrap();
    let length = || std::fs::metadata(store.path()).unwrap().len();
    until("the log is in the database", || length() > 4_500 * 4096).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_while_the_log_is_moved_loses_nothing() {
    let (directory, mut store) = open(quick()).await;
    let mut acknowledged = 0;
    for round in 0..20u128 {
        // The first commit of a store and each of 16 MiB set a move off; it may be under way now.
        let events: Vec<_> = (0..50)
            .map(|number| numbered_event(round * 100 + number, &"word ".repeat(5_000)))
            .collect();
        store.events().append_all(&events).await.unwrap();
        acknowledged += 50;
        for number in 0..round {
            let id = format!("{round}-{number}");
            store.save_agent_state(&large(&id, 4)).await.unwrap();
        }
        soon(store.close()).await.unwrap();
        assert!(!Path::new(&log_path(&store)).exists(), "{round}");
        store = open_in(&directory, quick()).await;
        let events = store.events().count(&EventFilter::default()).await;
        assert_eq!(events.unwrap(), acknowledged, "{round}");
    }
    assert_eq!(store.list_agents().await.unwrap().len(), 190);
    assert_intact(&mut connect(store.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_store_while_the_log_is_moved_loses_nothing() {
    let (directory, store) = open(quick()).await;
    let mut store = Some(store);
    for round in 0..20 {
        let open = store.take().unwrap();
        let id = format!("{round}");
        open.save_agent_state(&large(&id, 1_200)).await.unwrap();
        drop(open);
        let next = open_in(&directory, quick()).await;
        let stored = next.agents().count(&AgentFilter::default()).await;
        assert_eq!(stored.unwrap(), round + 1);
        store = Some(next);
    }
    assert_intact(&mut connect(&directory.path().join("state.db")));
}
