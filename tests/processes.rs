//! Several processes on one file, and processes that are killed. Each child is this test binary once more.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't go on says why and stops"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use descartes_state::{
    AgentFilter, AgentState, Expected, PageRequest, SqliteStateStore, StateStoreError,
};
use serde_json::json;

const FILE: &str = "DESCARTES_STATE_TEST_FILE";
const WINS: i64 = 100;

fn agent(id: &str) -> AgentState {
    AgentState {
        agent_id: id.into(),
        name: "counter".into(),
        status: "running".into(),
        metadata: json!({}),
        state_data: "{}".into(),
        created_at: 1,
        updated_at: 1,
        version: 1,
    }
}

fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            test,
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The store that the parent made; `None` where the test is run by hand.
async fn parents_store() -> Option<SqliteStateStore> {
    let path = std::env::var_os(FILE)?;
    Some(SqliteStateStore::new(path, false).await.unwrap())
}

#[tokio::test]
#[ignore = "the body of a child process"]
async fn child_that_raises_a_counter() {
    let Some(store) = parents_store().await else {
        return;
    };
    let mut wins = 0;
    while wins < WINS {
        let record = store.agents().get("counter").await.unwrap().unwrap();
        let count: i64 = record.state.state_data.parse().unwrap();
        let next = AgentState {
            state_data: (count + 1).to_string(),
            ..record.state
        };
        let expected = Expected::Revision(record.revision);
        match store.agents().save_if(&next, expected).await {
            Ok(revision) => {
                assert_eq!(revision, record.revision + 1);
                wins += 1;
            }
            Err(StateStoreError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn of_two_processes_exactly_one_wins_each_revision() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    let first = AgentState {
        state_data: "0".into(),
        ..agent("counter")
    };
    assert_eq!(store.agents().save(&first).await.unwrap(), 1);
    let children: Vec<_> = (0..2)
        .map(|_| child("child_that_raises_a_counter", &path))
        .collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let record = store.agents().get("counter").await.unwrap().unwrap();
    assert_eq!(record.revision, 1 + 2 * WINS);
    assert_eq!(record.state.state_data, (2 * WINS).to_string());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the body of a child process"]
async fn child_that_writes_until_it_is_killed() {
    let Some(store) = parents_store().await else {
        return;
    };
    let mut writers = Vec::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                let id = format!("{}-{writer}-{number}", std::process::id());
                store.save_agent_state(&agent(&id)).await.unwrap();
                // Only what was acknowledged is told.
                let mut out = std::io::stdout().lock();
                writeln!(out, "ack {id}").unwrap();
                out.flush().unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        let mut child = child("child_that_writes_until_it_is_killed", &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A different moment each round, by what was written, not by the clock.
        for _ in 0..20 + round * 7 {
            let line = lines.next().unwrap().unwrap();
            acknowledged.extend(line.strip_prefix("ack ").map(str::to_owned));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it was killed; the last line may be cut.
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        let rest = rest.iter().take(whole);
        acknowledged.extend(rest.filter_map(|line| line.strip_prefix("ack ").map(str::to_owned)));
    }
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
    for id in &acknowledged {
        let found = store.load_agent_state(id).await.unwrap();
        assert!(found.is_some(), "{id} was acknowledged, and is lost");
    }
    let check: String = store
        .read(|tx| {
            use diesel::prelude::*;
            let check = "(SELECT integrity_check FROM pragma_integrity_check)";
            let check = diesel::dsl::sql::<diesel::sql_types::Text>(check);
            Ok(diesel::select(check).get_result(tx.connection())?)
        })
        .await
        .unwrap();
    assert_eq!(check, "ok");
    let page = store
        .agents()
        .list(&AgentFilter::default(), &PageRequest::new(1))
        .await;
    assert_eq!(page.unwrap().items.len(), 1);
}
