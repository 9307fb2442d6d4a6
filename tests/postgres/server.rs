//! A server that cuts connections, or isn't there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::error::ErrorKind;
use descartes_state::{PostgresStateStore, StateStoreError, StoreOptions};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_acknowledged_write_is_there_after_connections_were_cut_at_any_moment() {
    let Some((schema, store)) = open().await else {
        return;
    };
    let mut other = schema.connect();
    let schema = Arc::new(schema);
    let over = Arc::new(AtomicBool::new(false));
    let cutter = {
        let (over, schema) = (Arc::clone(&over), Arc::clone(&schema));
        tokio::task::spawn_blocking(move || {
            while !over.load(Ordering::Acquire) {
                schema.cut(&mut other);
                other.batch_execute("SELECT pg_sleep(0.02)").unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..8_u128)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut told = BTreeMap::new();
                for number in 0..100 {
                    let id = writer * 100_000 + number;
                    // The server is there all the time, and knows what became of each.
                    let seq = store.events().append(&numbered_event(id, "a line")).await;
                    told.insert(id, seq.unwrap());
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
    soon(cutter).await.unwrap();
    for (id, seq) in told {
        let wanted = numbered_event(id, "").id;
        let record = store.events().get(&wanted).await.unwrap();
        assert_eq!(record.map(|record| record.seq), Some(seq), "{id}");
    }
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
