//! Query plans: what SQLite does with the SQL of the store's real calls, over 10,000 rows a table.
//!
//! Each call names exactly its indexes, scans nothing, walks through no other prefix's rows, and sorts nothing whose
//! order that an index has; with `ANALYZE`'s statistics and without.
//!
//! The statements are captured in the whole process, so these tests have one to themselves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod explain;

use std::collections::BTreeSet;
use std::path::Path;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::uuid::Uuid;
use descartes_state::{
    ActorType, AgentFilter, AgentState, ChangeIf, Cursor, Event, EventFilter, PageRequest,
    Revision, SaveIf, Session, SessionFilter, SessionStatus, SnapshotFilter, SnapshotOptions,
    SqliteStateStore, Step, Task, TaskFilter, TaskStatus, TimeRange, TransitionFilter, page::Order,
};
use explain::{Examination, Sorting};

/// The captured statements are of the whole process: one test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A store on a new file with 10,000 rows a table; `statistics` is whether ANALYZE ran.
async fn filled(directory: &Path, statistics: bool) -> SqliteStateStore {
    explain::start_capture();
    let store = SqliteStateStore::new(directory.join("state.db"), false);
    let store = store.await.unwrap();
    store.initialize().await.unwrap();
    let fill = include_str!("ten_thousand_rows.sql");
    let analyze = if statistics { "ANALYZE;" } else { "" };
    store
        .transact(move |tx| {
            tx.sqlite()?.batch_execute(fill)?;
            Ok(tx.sqlite()?.batch_execute(analyze)?)
        })
        .await
        .unwrap();
    store.close().await.unwrap();
    // Opened again: SQLite reads the statistics with the schema.
    let store = SqliteStateStore::new(directory.join("state.db"), false);
    let store = store.await.unwrap();
    store.initialize().await.unwrap();
    store.with_prefix("alpha")
}

/// One in a hundred of the rows: here a time index is worth it, also where ANALYZE counted.
fn hours() -> TimeRange {
    TimeRange::default()
        .from(1_700_050_000)
        .until(1_700_051_000)
}

/// The three kinds of page: first, next, and oldest first from a cursor.
fn pages() -> [PageRequest; 3] {
    let cursor = |text: &str| text.parse::<Cursor>().unwrap();
    [
        PageRequest::new(20),
        PageRequest::new(20).after(cursor("b9000")),
        PageRequest::new(20)
            .order(Order::Ascending)
            .after(cursor("a9000")),
    ]
}

macro_rules! plans {
    ($examination:ident: $( $call:expr => $sorting:ident [$($index:literal),* $(,)?]; )+) => {
        $( $examination
            .expect(stringify!($call), &[$($index),*], Sorting::$sorting, $call)
            .await; )+
    };
}

async fn agents(store: &SqliteStateStore, seen: &mut Examination) {
    let agents = store.agents();
    let all = AgentFilter::default;
    let after = PageRequest::new(20).after("iagent%2D2".parse().unwrap());
    let last = PageRequest::new(20).order(Order::Descending);
    let before = last.clone().after("dagent%2D2".parse().unwrap());
    for page in [PageRequest::new(20), after, last, before] {
        plans! { seen:
            agents.states(&all(), &page) => Nothing ["agent_states_by_agent"];
            agents.states(&all().status("running"), &page) => Nothing ["agent_states_by_status"];
            agents.list(&all(), &page) => Nothing ["agent_states_by_agent"];
            agents.list(&all().include_deleted(), &page) => Nothing ["agent_states_by_agent"];
            agents.list(&all().status("running"), &page) => Nothing ["agent_states_by_status"];
            // Checked row by row: an index of update times would be written at every save.
            agents.list(&all().updated(hours()), &page) => Nothing ["agent_states_by_agent"];
            agents.list(&all().updated(hours()).status("running"), &page) => Nothing ["agent_states_by_status"];
            agents.list(&all().status("running").include_deleted(), &page) => Nothing ["agent_states_by_agent"];
        }
    }
    plans! { seen:
        agents.state("agent-7") => Nothing ["sqlite_autoindex_agent_states_1"];
        agents.get("agent-7") => Nothing ["sqlite_autoindex_agent_states_1"];
        agents.count(&all()) => Nothing [];
        agents.count(&all().status("running")) => Nothing ["agent_states_by_status"];
        agents.count(&all().updated(hours())) => Nothing ["agent_states_by_status"];
        store.list_agents() => Nothing ["agent_states_by_agent"];
        agents.step(&Step::to_status("agent-7", "idle")) => Nothing ["agent_states_by_agent"];
        agents.step(&Step::to(&state("agent-7")).session("session-7")) => Nothing ["agent_states_by_agent", "sqlite_autoindex_sessions_1"];
        agents.set_status("agent-7", "idle", ChangeIf::Any) => Nothing ["agent_states_by_agent"];
        agents.delete("agent-7", ChangeIf::Any) => Nothing ["agent_states_by_agent"];
        agents.undelete("agent-7", ChangeIf::Any) => Nothing ["agent_states_by_agent"];
        agents.save_if(&state("agent-7"), SaveIf::Revision(Revision::from(7))) => Nothing ["agent_states_by_agent"];
    }
}

async fn transitions(store: &SqliteStateStore, seen: &mut Examination) {
    let transitions = store.transitions();
    let all = TransitionFilter::default;
    let of_agent = || all().agent("agent-7");
    for page in pages() {
        plans! { seen:
            transitions.list(&all(), &page) => Nothing ["state_transitions_by_sequence"];
            transitions.list(&of_agent(), &page) => Nothing ["state_transitions_by_agent"];
            transitions.list(&all().time(hours()), &page) => Numbers ["state_transitions_by_time"];
            transitions.list(&of_agent().time(hours()), &page) => Nothing ["state_transitions_by_agent"];
        }
    }
    plans! { seen:
        transitions.get(&"00000000-0000-7000-8000-000000000007".parse().unwrap()) => Nothing ["sqlite_autoindex_state_transitions_1"];
        transitions.count(&all()) => Nothing [];
        transitions.count(&of_agent()) => Nothing [];
        transitions.count(&all().time(hours())) => Nothing ["state_transitions_by_time"];
        transitions.count(&of_agent().time(hours())) => Nothing ["state_transitions_by_agent"];
        store.get_state_history("agent-7", 50) => Nothing ["state_transitions_by_agent"];
        store.record_state_transition("agent-7", "{}", "{}", None) => Nothing [];
        transitions.purge_before(1_700_000_100) => Nothing ["state_transitions_by_time"];
    }
}

async fn snapshots(store: &SqliteStateStore, seen: &mut Examination) {
    let snapshots = store.snapshots();
    let all = SnapshotFilter::default;
    let of_agent = || all().agent("agent-7");
    for page in pages() {
        plans! { seen:
            snapshots.list(&all(), &page) => Nothing ["state_snapshots_by_sequence"];
            snapshots.list(&all().include_expired(), &page) => Nothing ["state_snapshots_by_sequence"];
            snapshots.list(&of_agent(), &page) => Nothing ["state_snapshots_by_agent"];
            snapshots.list(&of_agent().include_expired(), &page) => Nothing ["state_snapshots_by_agent"];
            snapshots.list(&all().created(hours()), &page) => Numbers ["state_snapshots_by_time"];
            snapshots.list(&of_agent().created(hours()), &page) => Numbers ["state_snapshots_by_agent_time"];
        }
    }
    let options = SnapshotOptions::default();
    plans! { seen:
        snapshots.get("snapshot-7") => Nothing ["sqlite_autoindex_state_snapshots_1"];
        snapshots.count(&all()) => Nothing [];
        snapshots.count(&all().created(hours())) => Nothing ["state_snapshots_by_time"];
        snapshots.count(&of_agent().created(hours())) => Nothing ["state_snapshots_by_agent_time"];
        store.list_snapshots("agent-7") => Nothing ["state_snapshots_by_agent"];
        snapshots.create("agent-7", &options) => Nothing
            ["sqlite_autoindex_agent_states_1", "sqlite_autoindex_revision_floors_1"];
        snapshots.update("snapshot-7", &options, ChangeIf::Any) => Nothing ["sqlite_autoindex_state_snapshots_1"];
        snapshots.restore("snapshot-7", ChangeIf::Any) => Nothing
            ["sqlite_autoindex_state_snapshots_1", "agent_states_by_agent"];
        snapshots.purge("snapshot-7", ChangeIf::Any) => Nothing
            ["sqlite_autoindex_state_snapshots_1", "sqlite_autoindex_revision_floors_1"];
        snapshots.purge_expired() => Nothing ["state_snapshots_by_expiry", "sqlite_autoindex_revision_floors_1"];
    }
}

async fn events(store: &SqliteStateStore, seen: &mut Examination) {
    let events = store.events();
    let all = EventFilter::default;
    let of_session = || all().session("session-7");
    let of_type = || all().event_type("tool");
    for page in pages() {
        plans! { seen:
            events.list(&all(), &page) => Nothing ["events_by_sequence"];
            events.list(&of_session(), &page) => Nothing ["events_by_session"];
            events.list(&of_type(), &page) => Nothing ["events_by_type"];
            events.list(&all().actor("actor-7"), &page) => Nothing ["events_by_actor"];
            events.list(&all().time(hours()), &page) => Numbers ["events_by_time"];
            // The index has the times too, so that a range is checked in it, in order.
            events.list(&of_session().time(hours()), &page) => Nothing ["events_by_session"];
            events.list(&of_type().time(hours()), &page) => Nothing ["events_by_type"];
            events.list(&all().actor("actor-7").time(hours()), &page) => Nothing ["events_by_actor"];
            // Two filters without an index of their own: either's will do.
            events.list(&of_session().event_type("tool"), &page) => Nothing [];
            events.list(&of_session().event_type("tool").time(hours()), &page) => Nothing [];
        }
    }
    let id = "00000000-0000-7000-8000-000000000007".parse().unwrap();
    plans! { seen:
        events.get(&id) => Nothing ["sqlite_autoindex_events_1"];
        events.ids_between(&id, &Uuid::max(), 10) => Nothing ["sqlite_autoindex_events_1"];
        events.count(&all()) => Nothing [];
        events.count(&all().time(hours())) => Nothing ["events_by_time"];
        events.count(&of_session().time(hours())) => Nothing ["events_by_session"];
        events.count(&of_type().time(hours())) => Nothing ["events_by_type"];
        store.get_events("session-7") => Nothing ["events_by_session"];
        store.get_events_by_type("tool") => Nothing ["events_by_type"];
        events.purge_before(1_700_000_100) => Nothing ["events_by_time"];
    }
}

/// The full-text index is the outer loop, in order; each row of `events` is fetched by its number.
async fn searches(store: &SqliteStateStore, seen: &mut Examination) {
    let events = store.events();
    let all = EventFilter::default;
    for page in pages() {
        plans! { seen:
            events.search("common word", &all(), &page) => Nothing [];
            events.search("common", &all().session("session-7"), &page) => Nothing [];
            events.search("common", &all().event_type("tool"), &page) => Nothing [];
            events.search("common", &all().actor("actor-7"), &page) => Nothing [];
            events.search("common", &all().time(hours()), &page) => Nothing [];
            events.search("common", &all().session("session-7").time(hours()), &page) => Nothing [];
        }
    }
    plans! { seen: store.search_events("word1234") => Nothing []; }
}

async fn tasks(store: &SqliteStateStore, seen: &mut Examination) {
    let tasks = store.tasks();
    let all = TaskFilter::default;
    let todo = || all().status(TaskStatus::Todo);
    for page in pages() {
        plans! { seen:
            tasks.list(&all(), &page) => Nothing ["tasks_by_sequence"];
            tasks.list(&all().include_deleted(), &page) => Nothing ["tasks_by_sequence"];
            tasks.list(&todo(), &page) => Nothing ["tasks_by_status"];
            tasks.list(&all().assigned_to("agent-7"), &page) => Nothing ["tasks_by_assignee"];
            tasks.list(&todo().assigned_to("agent-7"), &page) => Nothing ["tasks_by_assignee_status"];
            tasks.list(&all().updated(hours()), &page) => Numbers ["tasks_by_update"];
        }
    }
    let id = "00000000-0000-7000-8000-000000000007".parse().unwrap();
    plans! { seen:
        tasks.get(&id) => Nothing ["sqlite_autoindex_tasks_1"];
        tasks.count(&all()) => Nothing [];
        tasks.count(&todo()) => Nothing ["tasks_by_status"];
        tasks.count(&todo().assigned_to("agent-7")) => Nothing ["tasks_by_assignee_status"];
        tasks.count(&all().updated(hours())) => Nothing ["tasks_by_update"];
        store.get_tasks() => Nothing ["tasks_by_sequence"];
        tasks.set_status(&id, TaskStatus::Done, ChangeIf::Any) => Nothing ["sqlite_autoindex_tasks_1"];
        tasks.delete(&id, ChangeIf::Any) => Nothing ["sqlite_autoindex_tasks_1"];
        tasks.undelete(&id, ChangeIf::Any) => Nothing ["sqlite_autoindex_tasks_1"];
        tasks.purge(&id, ChangeIf::Any) => Nothing ["sqlite_autoindex_tasks_1", "sqlite_autoindex_revision_floors_1"];
        tasks.save(&task(id)) => Nothing ["sqlite_autoindex_tasks_1", "sqlite_autoindex_revision_floors_1"];
    }
}

async fn sessions(store: &SqliteStateStore, seen: &mut Examination) {
    let sessions = store.sessions();
    let all = SessionFilter::default;
    let of_agent = || all().agent("agent-7");
    let active = || all().status(SessionStatus::Active);
    for page in pages() {
        plans! { seen:
            sessions.list(&all(), &page) => Nothing ["sessions_by_sequence"];
            sessions.list(&all().include_deleted(), &page) => Nothing ["sessions_by_sequence"];
            sessions.list(&active(), &page) => Nothing ["sessions_by_status"];
            sessions.list(&of_agent(), &page) => Nothing ["sessions_by_agent"];
            sessions.list(&active().agent("agent-7"), &page) => Nothing ["sessions_by_agent_status"];
            sessions.list(&all().started(hours()), &page) => Numbers ["sessions_by_time"];
            sessions.list(&of_agent().started(hours()), &page) => Numbers ["sessions_by_agent_time"];
        }
    }
    plans! { seen:
        sessions.get("session-6") => Nothing ["sqlite_autoindex_sessions_1"];
        sessions.count(&all()) => Nothing [];
        sessions.count(&active()) => Nothing ["sessions_by_status"];
        sessions.count(&active().agent("agent-7")) => Nothing ["sessions_by_agent_status"];
        sessions.count(&of_agent().started(hours())) => Nothing ["sessions_by_agent_time"];
        sessions.touch("session-6", ChangeIf::Any) => Nothing ["sqlite_autoindex_sessions_1"];
        sessions.end("session-6", SessionStatus::Failed, ChangeIf::Any) => Nothing ["sqlite_autoindex_sessions_1"];
        sessions.delete("session-6", ChangeIf::Any) => Nothing ["sqlite_autoindex_sessions_1"];
        sessions.purge("session-6", ChangeIf::Any) => Nothing
            ["sqlite_autoindex_sessions_1", "sqlite_autoindex_revision_floors_1"];
        sessions.start(&Session::new("session-6", "agent-7")) => Nothing
            ["sqlite_autoindex_sessions_1", "sqlite_autoindex_revision_floors_1"];
    }
}

fn state(agent_id: &str) -> AgentState {
    AgentState {
        agent_id: agent_id.into(),
        name: "Agent".into(),
        status: "idle".into(),
        metadata: serde_json::json!({}),
        state_data: "{}".into(),
        created_at: 1_700_000_000,
        updated_at: 1_700_000_000,
        version: 1,
    }
}

fn task(id: Uuid) -> Task {
    Task {
        id,
        title: "Task".into(),
        description: None,
        status: TaskStatus::InProgress,
        assigned_to: None,
        created_at: 1_700_000_000,
        updated_at: 1_700_000_000,
        metadata: None,
    }
}

fn event(content: &str) -> Event {
    Event {
        id: Uuid::now_v7(),
        event_type: "note".into(),
        timestamp: 1_700_000_000,
        session_id: "session-7".into(),
        actor_type: ActorType::Agent,
        actor_id: "actor-7".into(),
        content: content.into(),
        metadata: None,
        git_commit: None,
    }
}

/// Runs every call; returns the indexes that were named.
async fn examine(statistics: bool) -> (BTreeSet<String>, BTreeSet<String>) {
    let _turn = TURN.lock().await;
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), statistics).await;
    let mut seen = Examination::of(store.path());
    transitions(&store, &mut seen).await;
    events(&store, &mut seen).await;
    searches(&store, &mut seen).await;
    tasks(&store, &mut seen).await;
    sessions(&store, &mut seen).await;
    snapshots(&store, &mut seen).await;
    agents(&store, &mut seen).await;
    // A purge takes an agent's snapshots too, by whichever index of theirs.
    plans! { seen: store.agents().purge("agent-8", ChangeIf::Any) => Nothing []; }
    let query = "SELECT name AS line FROM sqlite_schema WHERE type = 'index' AND tbl_name NOT LIKE '%migrations'
        AND tbl_name NOT LIKE 'events_search%'";
    let all = descartes_state_testing::lines(
        &mut descartes_state_testing::connect_patiently(store.path()),
        query,
    );
    store.close().await.unwrap();
    (seen.finish(), all.into_iter().collect())
}

#[tokio::test]
async fn every_call_uses_its_index_without_statistics() {
    let (named, all) = examine(false).await;
    every_index_serves(&named, &all);
}

#[tokio::test]
async fn every_call_uses_its_index_after_analyze() {
    let (named, all) = examine(true).await;
    every_index_serves(&named, &all);
}

/// An index that no query names only costs. Two are of tables that are read when a file is opened.
fn every_index_serves(named: &BTreeSet<String>, all: &BTreeSet<String>) {
    let useless: Vec<&str> = all.difference(named).map(String::as_str).collect();
    let known = [
        "sqlite_autoindex_migration_fingerprints_1",
        "sqlite_autoindex_store_identity_1",
    ];
    assert_eq!(useless, known);
    assert!(all.len() > 30, "{all:?}");
}

#[tokio::test]
async fn the_index_of_transition_ids_refuses_a_second_row() {
    let _turn = TURN.lock().await;
    let store = SqliteStateStore::temporary().await.unwrap();
    let row = "INSERT INTO state_transitions (id, agent_id, state_before, state_after, timestamp, recorded_at)
        VALUES ('one', 'a', '{}', '{}', 1, 1)";
    let twice = store
        .transact(move |tx| Ok(tx.sqlite()?.batch_execute(&format!("{row}; {row};"))?))
        .await;
    let error = twice.unwrap_err().to_string();
    assert!(error.contains("UNIQUE constraint failed"), "{error}");
}

/// Only what waits is indexed, whatever other prefixes hold.
#[tokio::test]
async fn a_block_is_indexed_from_the_last_indexed_event_on() {
    let _turn = TURN.lock().await;
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), false).await;
    let mut connection = descartes_state_testing::connect_patiently(store.path());
    explain::taken();
    store.events().append(&event("new")).await.unwrap();
    descartes_state_testing::until_indexed(&store).await;
    let statements = explain::taken();
    let indexing = statements
        .iter()
        .find(|sql| sql.contains("events_search_source"));
    let steps = explain::explain(&mut connection, indexing.unwrap());
    let details: Vec<&str> = steps.iter().map(|step| step.detail.as_str()).collect();
    assert_eq!(
        details,
        [
            "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
            "SCALAR SUBQUERY 1",
            "SEARCH events_search_docsize",
        ]
    );
}

#[tokio::test]
async fn a_plan_that_scans_walks_or_sorts_is_a_fault() {
    let _turn = TURN.lock().await;
    let store = SqliteStateStore::temporary().await.unwrap();
    let mut connection = descartes_state_testing::connect_patiently(store.path());
    for (query, sorting) in [
        ("SELECT * FROM events", Sorting::Numbers),
        ("SELECT count(*) FROM events", Sorting::Numbers),
        ("SELECT * FROM events WHERE seq < 9", Sorting::Nothing),
        (
            "SELECT * FROM events WHERE namespace = '' ORDER BY content",
            Sorting::Numbers,
        ),
        (
            "SELECT * FROM events WHERE namespace = '' ORDER BY git_commit",
            Sorting::Nothing,
        ),
        (
            "SELECT * FROM events_search WHERE content LIKE 'a%'",
            Sorting::Nothing,
        ),
        (
            "SELECT * FROM events_search WHERE events_search MATCH 'a' ORDER BY content",
            Sorting::Nothing,
        ),
    ] {
        let steps = explain::explain(&mut connection, query);
        assert!(
            !explain::faults(&steps, sorting).is_empty(),
            "{query}: {steps:?}"
        );
    }
}
