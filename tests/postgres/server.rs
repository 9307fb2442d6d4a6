//! A server that cuts connections, or isn't there.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;
use descartes_state::{PostgresStateStore, Seq, StateStoreError, StoreOptions};
use descartes_state_testing::{agent, numbered_event, soon};

use crate::open;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_after_their_connections_were_cut() {
    let Some((schema, store)) = open().await else {
        return;
    };
    let mut other = schema.connect();
    for round in 0..5 {
        schema.cut(&mut other);
        store.save_agent_state(&agent("a")).await.unwrap();
        schema.cut(&mut other);
        assert!(
            store.load_agent_state("a").await.unwrap().is_some(),
            "{round}"
        );
        schema.cut(&mut other);
        let count = store.read(|tx| tx.agents().count(&descartes_state::AgentFilter::default()));
        assert_eq!(count.await.unwrap(), 1);
    }
}

/// What a writer was told of an event.
type Told = Result<Seq, ErrorKind>;

/// Writes events from several tasks while the server is disturbed again and again; returns what was told of each, and which are
/// there afterwards.
async fn write_while(
    store: &PostgresStateStore,
    events: u128,
    disturb: impl FnMut() + Send + 'static,
) -> (BTreeMap<u128, Told>, BTreeMap<u128, Seq>) {
    let over = Arc::new(AtomicBool::new(false));
    let disturber = {
        let (over, mut disturb) = (Arc::clone(&over), disturb);
        tokio::task::spawn_blocking(move || {
            while !over.load(Ordering::Acquire) {
                disturb();
            }
        })
    };
    let writers: Vec<_> = (0..8_u128)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut told = BTreeMap::new();
                for number in 0..events {
                    let id = writer * 100_000 + number;
                    let written = store.events().append(&numbered_event(id, "a line")).await;
                    told.insert(id, written.map_err(|error| error.kind()));
                }
                told
            })
        })
        .collect();
    let mut told = BTreeMap::new();
    for writer in writers {
        told.append(&mut writer.await.unwrap());
    }
    over.store(true, Ordering::Release);
    soon(disturber).await.unwrap();
    let mut there = BTreeMap::new();
    for id in told.keys() {
        let wanted = numbered_event(*id, "").id;
        if let Some(record) = store.events().get(&wanted).await.unwrap() {
            there.insert(*id, record.seq);
        }
    }
    (told, there)
}

/// Compares what was told with what is there; returns how many were acknowledged.
fn compare(told: &BTreeMap<u128, Told>, there: &BTreeMap<u128, Seq>) -> usize {
    let mut acknowledged = 0;
    for (id, told) in told {
        let seq = there.get(id).copied();
        match told {
            Ok(told) => {
                assert_eq!(seq, Some(*told), "{id}");
                acknowledged += 1;
            }
            Err(ErrorKind::OutcomeUnknown) => {}
            Err(kind) => {
                assert_eq!(*kind, ErrorKind::ConnectionLost);
                assert_eq!(seq, None, "{id}");
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_acknowledged_write_is_there_after_connections_were_cut_at_any_moment() {
    let Some((schema, store)) = open().await else {
        return;
    };
    let mut other = schema.connect();
    let schema = Arc::new(schema);
    let cutter = Arc::clone(&schema);
    let (told, there) = write_while(&store, 100, move || {
        cutter.cut(&mut other);
        other.batch_execute("SELECT pg_sleep(0.02)").unwrap();
    })
    .await;
    compare(&told, &there);
    // The server was there all the time, and knew.
    assert!(told.values().all(Result::is_ok), "{told:?}");
}

#[test]
fn a_store_may_be_dropped_where_there_is_no_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some((schema, store)) = runtime.block_on(open()) else {
        return;
    };
    runtime.block_on(async {
        let saves = (0..8).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.save_agent_state(&agent(&number.to_string())).await })
        });
        for save in saves.collect::<Vec<_>>() {
            soon(save).await.unwrap().unwrap();
        }
    });
    drop(store);
    drop(schema);
    drop(runtime);
}

/// `DESCARTES_STATE_POSTGRES_DIRECTORY` is the one that `.ci/postgres` has started the server in; `DESCARTES_STATE_RESTARTS` is how often
/// it is restarted (5).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "it restarts the server, so it runs alone"]
async fn every_acknowledged_write_is_there_after_the_server_was_killed_and_started_again() {
    let (Some((_schema, store)), Ok(directory)) = (
        open().await,
        std::env::var("DESCARTES_STATE_POSTGRES_DIRECTORY"),
    ) else {
        return;
    };
    let restarts = std::env::var("DESCARTES_STATE_RESTARTS");
    let restarts: u128 = restarts.map_or(5, |restarts| restarts.parse().unwrap());
    let script = descartes_state_testing::repository().join(".ci/postgres");
    let restarted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&restarted);
    let (told, there) = write_while(&store, 1000 * restarts, move || {
        let restart = Command::new(&script).args(["restart", &directory]).status();
        assert!(restart.unwrap().success());
        counted.fetch_add(1, Ordering::Release);
        #[allow(clippy::disallowed_methods)] // Time between two restarts is what is tested.
        std::thread::sleep(Duration::from_millis(300));
    })
    .await;
    let acknowledged = compare(&told, &there);
    let unknown = told
        .values()
        .filter(|told| **told == Err(ErrorKind::OutcomeUnknown))
        .count();
    println!(
        "{} restarts, {acknowledged} acknowledged of {}, {unknown} of unknown outcome",
        restarted.load(Ordering::Acquire),
        told.len()
    );
    assert!(acknowledged > told.len() / 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_typed_error_that_shows_no_password() {
    let options = StoreOptions::default().acquire_timeout(Duration::from_millis(300));
    let directory = tempfile::tempdir().unwrap();
    let url = format!(
        "postgres://ada:s3cret@/state?host={}",
        directory.path().display()
    );
    let refused = PostgresStateStore::connect(&url, options).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    assert!(error.is_retryable());
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn what_is_no_url_is_refused_before_anything_is_asked() {
    for url in ["state.db", "http://x", "postgres://x?schema="] {
        let refused = PostgresStateStore::connect(url, StoreOptions::default()).await;
        assert!(matches!(refused, Err(StateStoreError::InvalidInput { .. })));
    }
}
