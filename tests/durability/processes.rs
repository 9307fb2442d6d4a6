//! Several processes on one file, and processes that are killed. Each child is this test binary once more.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_query;
use descartes_state::diesel::sql_types::{BigInt, Text};
use descartes_state::{
    ActorType, AgentState, Event, Revision, SaveIf, SqliteStateStore, StateStoreError, Step,
    Transaction, TransitionDraft,
};
use serde_json::json;
use uuid::Uuid;

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
        let expected = SaveIf::Revision(record.revision);
        match store.agents().save_if(&next, expected).await {
            Ok(revision) => {
                assert_eq!(revision.get(), record.revision.get() + 1);
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
    assert_eq!(
        store.agents().save(&first).await.unwrap(),
        Revision::from(1)
    );
    let children: Vec<_> = (0..2)
        .map(|_| child("processes::child_that_raises_a_counter", &path))
        .collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let record = store.agents().get("counter").await.unwrap().unwrap();
    assert_eq!(record.revision.get(), 1 + 2 * WINS);
    assert_eq!(record.state.state_data, (2 * WINS).to_string());
}

/// Events in one bulk append.
const BULK: usize = 20;

fn event(id: Uuid, session: &str) -> Event {
    Event {
        id,
        event_type: "note".into(),
        timestamp: 1,
        session_id: session.into(),
        actor_type: ActorType::Agent,
        actor_id: "actor".into(),
        // Long enough that the log is moved in the background while the child writes.
        content: format!("{session} {}", "many words ".repeat(100)),
        metadata: None,
        git_commit: None,
    }
}

/// One write of one of six kinds; each leaves rows that can be told by the id.
async fn write(store: &SqliteStateStore, kind: u32, id: String) -> Result<(), StateStoreError> {
    match kind {
        0 => store.save_agent_state(&agent(&id)).await,
        1 => store.save_event(&event(Uuid::now_v7(), &id)).await,
        2 => {
            let events: Vec<_> = (0..BULK).map(|_| event(Uuid::now_v7(), &id)).collect();
            store.events().append_all(&events).await.map(drop)
        }
        3 => {
            let both = move |tx: &mut Transaction<'_>| {
                tx.agents().save(&agent(&id))?;
                tx.events().append(&event(Uuid::now_v7(), &id)).map(drop)
            };
            store.transact(both).await
        }
        4 => {
            let (state, event) = (agent(&id), event(Uuid::now_v7(), &id));
            let step = Step::to(&state).reason("a step").event(&event);
            store.agents().step(&step).await.map(drop)
        }
        _ => {
            let mut batch = store.batch();
            let draft = TransitionDraft::new(&id, "", "{}");
            batch.agents().save(&agent(&id))?;
            batch.events().append(&event(Uuid::now_v7(), &id))?;
            batch.transitions().record(&draft)?;
            batch.commit().await.map(drop)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the body of a child process"]
async fn child_that_writes_until_it_is_killed() {
    let Some(store) = parents_store().await else {
        return;
    };
    // Its number alone comes again, where a thousand processes are killed.
    let process = Uuid::now_v7().simple();
    let mut writers = Vec::new();
    for writer in 0..64u32 {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                let kind = (writer + number) % 6;
                let id = format!("{kind}-{process}-{writer}-{number}");
                write(&store, kind, id.clone()).await.unwrap();
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

/// How often a process is killed: a thousand times and more on demand.
fn rounds() -> usize {
    let wanted = std::env::var("DESCARTES_STATE_KILLS").ok();
    wanted.map_or(12, |rounds| rounds.parse().unwrap())
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_write_and_leaves_none_by_halves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..rounds() {
        let mut child = child("processes::child_that_writes_until_it_is_killed", &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A different moment each round, by what was written, not by the clock.
        for _ in 0..50 + (round % 12) * 23 {
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
    assert!(acknowledged.len() > 2_000, "{}", acknowledged.len());
    drop(store);

    let mut file = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let rows = "SELECT agent_id AS id, 0 AS number FROM agent_states";
    let agents = numbers(&mut file, rows);
    let rows = "SELECT session_id AS id, count(*) AS number FROM events GROUP BY session_id";
    let events = numbers(&mut file, rows);
    let rows = "SELECT agent_id AS id, count(*) AS number FROM state_transitions GROUP BY agent_id";
    let transitions = numbers(&mut file, rows);
    // All that its kind writes, or nothing; and never nothing where it was acknowledged.
    let written = agents.keys().chain(events.keys()).chain(transitions.keys());
    for id in written.chain(&acknowledged) {
        let wanted = match id.as_bytes()[0] {
            b'0' => (true, 0, 0),
            b'1' => (false, 1, 0),
            b'2' => (false, BULK as i64, 0),
            b'3' => (true, 1, 0),
            _ => (true, 1, 1),
        };
        let count = |rows: &HashMap<String, i64>| rows.get(id).copied().unwrap_or(0);
        let found = (agents.contains_key(id), count(&events), count(&transitions));
        assert_eq!(found, wanted, "{id}: half of it is lost");
    }
    let check = "SELECT integrity_check AS id, 0 AS number FROM pragma_integrity_check";
    let found: Vec<_> = numbers(&mut file, check).into_keys().collect();
    assert_eq!(found, ["ok"]);
    // What was written last may wait to be indexed, and is found all the same.
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    let with_events = acknowledged.iter().rev().filter(|id| !id.starts_with('0'));
    for id in with_events.take(30) {
        let found = store.search_events(id).await.unwrap();
        assert!(!found.is_empty(), "{id} is not found");
    }
    store.events().check_search().await.unwrap();
}

#[derive(QueryableByName)]
struct Numbered {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn numbers(connection: &mut SqliteConnection, query: &str) -> HashMap<String, i64> {
    let rows: Vec<Numbered> = sql_query(query).load(connection).unwrap();
    rows.into_iter().map(|row| (row.id, row.number)).collect()
}
