//! What may run on a runtime's thread is bounded: a list that an index serves, of at most 128 rows and 256 KiB.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use descartes_state::diesel::connection::{
    Instrumentation, InstrumentationEvent, set_default_instrumentation,
};
use descartes_state::{
    AgentFilter, AgentState, Event, EventFilter, PageRequest, Session, SessionFilter,
    SnapshotFilter, SnapshotOptions, SqliteStateStore, StateStoreError, StoreOptions, TaskFilter,
    TimeRange, TransitionDraft, TransitionFilter,
};
use descartes_state_testing::{
    DEADLINE, TestResult, agent, event, numbered_event, numbered_task, open, quick, until_indexed,
};

/// Which thread ran which query on which file.
static RAN: Mutex<Vec<(String, String, ThreadId)>> = Mutex::new(Vec::new());

#[derive(Default)]
struct Watch {
    file: String,
}

impl Instrumentation for Watch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.file = url.to_owned();
            }
            InstrumentationEvent::StartQuery { query, .. } => {
                let entry = (self.file.clone(), query.to_string(), thread::current().id());
                RAN.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(entry);
            }
            _ => {}
        }
    }
}

/// Returns on which threads queries over this table ran since the last time, for a file.
fn threads(path: &Path, table: &str) -> Vec<ThreadId> {
    let file = path.to_str().unwrap_or_default();
    let mut ran = RAN.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = ran
        .iter()
        .filter(|(of, sql, _)| of.contains(file) && sql.contains(&format!("FROM `{table}`")))
        .map(|(_, _, thread)| *thread)
        .collect();
    ran.retain(|(of, _, _)| !of.contains(file));
    threads
}

type Call = fn(SqliteStateStore) -> Pin<Box<dyn Future<Output = Result<(), StateStoreError>>>>;

/// A read under test, and the table that it reads.
#[derive(Clone, Copy)]
struct Read {
    table: &'static str,
    call: Call,
}

impl Read {
    fn new(table: &'static str, call: Call) -> Self {
        Self { table, call }
    }
}

macro_rules! reads {
    ($($table:literal: |$store:ident| $call:expr;)*) => {
        [$( Read::new($table, |$store| Box::pin(async move { $call.await.map(drop) })) ),*]
    };
}

fn page(rows: u32) -> PageRequest {
    PageRequest::new(rows)
}

fn ever() -> TimeRange {
    TimeRange::default().from(0)
}

/// A store whose queries are watched, with a row in each table.
async fn watched(
    options: StoreOptions,
) -> Result<(tempfile::TempDir, SqliteStateStore), StateStoreError> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let set = set_default_instrumentation(|| Some(Box::new(Watch::default())));
        assert!(set.is_ok());
    });
    let (directory, store) = open(options).await;
    store.save_agent_state(&agent("agent")).await?;
    let draft = TransitionDraft::new("agent", "x", "y");
    store.transitions().record(&draft).await?;
    let options = SnapshotOptions::default();
    store.snapshots().create("agent", &options).await?;
    store.save_event(&event("word")).await?;
    store.save_task(&numbered_task(1)).await?;
    let session = Session::new("session", "agent");
    store.sessions().start(&session).await?;
    Ok((directory, store))
}

/// As much as anybody could want: what doesn't run here isn't allowed to.
fn generous() -> StoreOptions {
    quick().inline_budget(Duration::from_secs(10))
}

/// Reads until it runs on this thread.
async fn reads_here(store: &SqliteStateStore, read: Read) -> TestResult {
    let table = read.table;
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        threads(store.path(), table);
        (read.call)(store.clone()).await?;
        if threads(store.path(), table) == [thread::current().id()] {
            return Ok(());
        }
    }
    Err(format!("a short list of {table} never ran on its caller's thread").into())
}

#[tokio::test]
async fn a_short_list_that_an_index_serves_comes_to_run_where_it_is_called() -> TestResult {
    let (_directory, store) = watched(generous()).await?;
    let lists = reads! {
        "agent_states": |store| store.agents().list(&AgentFilter::default(), &page(128));
        "agent_states": |store| store.agents().states(&AgentFilter::default().status("idle"), &page(128));
        "agent_states": |store| store.agents().states(&AgentFilter::default().include_deleted(), &page(1));
        "state_transitions": |store| store.transitions().list(&TransitionFilter::default(), &page(128));
        "state_transitions": |store| store.get_state_history("agent", 128);
        "state_snapshots": |store| store.snapshots().list(&SnapshotFilter::default().agent("agent"), &page(9));
        "events": |store| store.events().list(&EventFilter::default().session("session"), &page(128));
        "tasks": |store| store.tasks().list(&TaskFilter::default().assigned_to("agent"), &page(128));
        "sessions": |store| store.sessions().list(&SessionFilter::default(), &page(128));
    };
    for list in lists {
        reads_here(&store, list).await?;
    }
    Ok(())
}

/// What may never run on a runtime's thread, however short it was.
fn unbounded() -> impl IntoIterator<Item = Read> {
    reads! {
        "agent_states": |store| store.agents().list(&AgentFilter::default(), &page(129));
        "agent_states": |store| store.agents().states(&AgentFilter::default().updated(ever()), &page(1));
        "agent_states": |store| store.agents().states(&AgentFilter::default().status("idle").include_deleted(), &page(1));
        "agent_states": |store| store.agents().count(&AgentFilter::default());
        "agent_states": |store| store.list_agents();
        "state_transitions": |store| store.transitions().list(&TransitionFilter::default().time(ever()), &page(1));
        "state_transitions": |store| store.get_state_history("agent", 129);
        "state_snapshots": |store| store.snapshots().list(&SnapshotFilter::default().created(ever()), &page(1));
        "state_snapshots": |store| store.list_snapshots("agent");
        "events": |store| store.events().list(&EventFilter::default().time(ever()), &page(1));
        "events": |store| store.events().list(&EventFilter::default().session("session").event_type("note"), &page(1));
        "events": |store| store.get_events("session");
        "events": |store| store.events().count(&EventFilter::default());
        "tasks": |store| store.tasks().list(&TaskFilter::default().updated(ever()), &page(1));
        "tasks": |store| store.tasks().list(&TaskFilter::default().assigned_to("agent").include_deleted(), &page(1));
        "tasks": |store| store.get_tasks();
        "sessions": |store| store.sessions().list(&SessionFilter::default().started(ever()), &page(1));
        "sessions": |store| store.sessions().list(&SessionFilter::default().agent("agent").include_deleted(), &page(1));
        "sessions": |store| store.sessions().count(&SessionFilter::default());
    }
}

/// More than it takes to be trusted.
const OFTEN: usize = 20;

async fn never_reads_here(
    store: &SqliteStateStore,
    reads: impl IntoIterator<Item = Read>,
) -> TestResult {
    for (number, read) in reads.into_iter().enumerate() {
        let table = read.table;
        threads(store.path(), table);
        for _ in 0..OFTEN {
            (read.call)(store.clone()).await?;
        }
        let ran = threads(store.path(), table);
        assert!(ran.len() >= OFTEN, "{table}, {number}: {ran:?}");
        let here = thread::current().id();
        assert!(!ran.contains(&here), "{table}, {number}");
    }
    Ok(())
}

#[tokio::test]
async fn what_no_index_bounds_never_runs_on_a_runtimes_thread() -> TestResult {
    let (_directory, store) = watched(generous()).await?;
    // Also where its kind is known to be short.
    for short in reads! {
        "agent_states": |store| store.agents().states(&AgentFilter::default(), &page(1));
        "events": |store| store.events().list(&EventFilter::default(), &page(1));
        "tasks": |store| store.tasks().list(&TaskFilter::default(), &page(1));
    } {
        reads_here(&store, short).await?;
    }
    never_reads_here(&store, unbounded()).await
}

#[tokio::test]
async fn a_budget_of_zero_keeps_every_read_off_the_runtimes_threads() -> TestResult {
    let (_directory, store) = watched(quick().inline_budget(Duration::ZERO)).await?;
    let reads = reads! {
        "agent_states": |store| store.agents().get("agent");
        "agent_states": |store| store.load_agent_state("agent");
        "agent_states": |store| store.agents().states(&AgentFilter::default(), &page(1));
        "events": |store| store.events().list(&EventFilter::default(), &page(1));
        "state_transitions": |store| store.get_state_history("agent", 1);
    };
    never_reads_here(&store, reads).await
}

/// Reads here first, then elsewhere.
fn assert_begins_again(store: &SqliteStateStore, table: &str) {
    let ran = threads(store.path(), table);
    let here = thread::current().id();
    assert_eq!(ran.len(), 2, "{table}");
    assert!(ran[0] == here && ran[1] != here, "{table}: {ran:?}");
}

#[tokio::test]
async fn a_list_of_large_rows_begins_again_where_it_may_take_its_time() -> TestResult {
    let (_directory, store) = watched(generous().compression(true)).await?;
    let [of_events] = reads! {
        "events": |store| store.events().list(&EventFilter::default(), &page(100));
    };
    reads_here(&store, of_events).await?;
    let large: Vec<Event> = (0..5)
        .map(|number| numbered_event(number, &"large ".repeat(12_000)))
        .collect();
    store.events().append_all(&large).await?;
    // What indexes them reads them too.
    until_indexed(&store).await;
    threads(store.path(), "events");
    let all = EventFilter::default();
    let found = store.events().list(&all, &page(100)).await?.items;
    assert_begins_again(&store, "events");
    let contents: Vec<usize> = found
        .iter()
        .map(|record| record.event.content.len())
        .collect();
    assert_eq!(contents, [72_000, 72_000, 72_000, 72_000, 72_000, 4]);

    // Small in the file, and large once it is unpacked.
    let [of_agents] = reads! {
        "agent_states": |store| store.agents().states(&AgentFilter::default(), &page(100));
    };
    reads_here(&store, of_agents).await?;
    let inflated = AgentState {
        state_data: "state ".repeat(100_000),
        ..agent("inflated")
    };
    store.save_agent_state(&inflated).await?;
    threads(store.path(), "agent_states");
    let all = AgentFilter::default();
    let found = store.agents().states(&all, &page(100)).await?.items;
    assert_begins_again(&store, "agent_states");
    assert_eq!(found, [agent("agent"), inflated.clone()]);

    // So does one row.
    let [by_key] = reads! {
        "agent_states": |store| store.load_agent_state("agent");
    };
    reads_here(&store, by_key).await?;
    assert_eq!(store.load_agent_state("inflated").await?, Some(inflated));
    assert_begins_again(&store, "agent_states");
    Ok(())
}
