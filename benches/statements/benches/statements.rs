//! Microbenchmarks of each repository's hot statements, for regressions: `cargo bench -p statements` in `benches/`.
//!
//! The group `statement` runs inside one open transaction that is rolled back, so that neither begin nor commit nor a hop
//! between threads is in its numbers. The group `call` is whole calls of the handles, one at a time, at relaxed
//! durability, so that no fsync is in them either. `-- --save-baseline NAME` keeps a run, `-- --baseline NAME` compares
//! with it, `-- TEXT` runs only what has the text in its name.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use descartes_state::{
    AgentFilter, ChangeIf, Durability, Event, EventFilter, PageRequest, SaveIf, SessionFilter,
    SnapshotFilter, SnapshotOptions, SqliteStateStore, StateStoreError, StoreOptions, TaskFilter,
    Transaction, TransitionFilter,
};
use samples::{
    AGENTS, COMMON_WORD, PAGE, RARE_WORD, agent, agent_id, event, known_agent, session, session_id,
    task, task_id, transition,
};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, StateStoreError>;

/// Events in the store.
const EVENTS: u64 = 10_000;
/// Events that one bulk append takes.
const BULK: u64 = 1_000;

criterion_group!(benches, statements, calls);
criterion_main!(benches);

fn statements(criterion: &mut Criterion) {
    let rig = Rig::new();
    let mut group = short_group(criterion, "statement");
    agents(&rig, &mut group);
    events(&rig, &mut group);
    transitions_and_snapshots(&rig, &mut group);
    tasks_and_sessions(&rig, &mut group);
    group.finish();
}

fn agents(rig: &Rig, group: &mut Group<'_>) {
    let page = PageRequest::new(PAGE);
    rig.statement(group, "agents/save", known_agent, |tx, agent| {
        tx.agents().save(agent)
    });
    let unknown = |number| agent(AGENTS + number);
    rig.statement(group, "agents/save new", unknown, |tx, agent| {
        tx.agents().save(agent)
    });
    rig.statement(group, "agents/get", agent_id, |tx, id| tx.agents().get(id));
    rig.statement(group, "agents/set_status", agent_id, |tx, id| {
        tx.agents().set_status(id, "paused", ChangeIf::Any)
    });
    rig.statement(group, "agents/list", nothing, move |tx, ()| {
        tx.agents().list(&AgentFilter::default(), &page)
    });
}

fn events(rig: &Rig, group: &mut Group<'_>) {
    let page = PageRequest::new(PAGE);
    rig.statement(group, "events/append", event, |tx, event| {
        tx.events().append(event)
    });
    let bulk = |number: u64| (0..BULK).map(|row| event(number * BULK + row)).collect();
    rig.statement(
        group,
        "events/append_all 1000",
        bulk,
        |tx, events: &Vec<Event>| tx.events().append_all(events),
    );
    let session = EventFilter::default().session(session_id(3));
    rig.statement(group, "events/list session", nothing, {
        let page = page.clone();
        move |tx, ()| tx.events().list(&session, &page)
    });
    for (name, word) in [
        ("events/search common", COMMON_WORD),
        ("events/search rare", RARE_WORD),
    ] {
        let page = page.clone();
        rig.statement(group, name, nothing, move |tx, ()| {
            tx.events().search(word, &EventFilter::default(), &page)
        });
    }
}

fn transitions_and_snapshots(rig: &Rig, group: &mut Group<'_>) {
    let page = PageRequest::new(PAGE);
    rig.statement(group, "transitions/record", transition, |tx, draft| {
        tx.transitions().record(draft)
    });
    let history = TransitionFilter::default().agent(agent_id(0));
    rig.statement(group, "transitions/history", nothing, {
        let page = page.clone();
        move |tx, ()| tx.transitions().list(&history, &page)
    });
    rig.statement(group, "snapshots/create", agent_id, |tx, id| {
        tx.snapshots().create(id, &SnapshotOptions::default())
    });
    let snapshot = rig.snapshot.clone();
    rig.statement(group, "snapshots/get", nothing, move |tx, ()| {
        tx.snapshots().get(&snapshot)
    });
    let of_agent = SnapshotFilter::default().agent(agent_id(0));
    rig.statement(group, "snapshots/list", nothing, move |tx, ()| {
        tx.snapshots().list(&of_agent, &page)
    });
}

fn tasks_and_sessions(rig: &Rig, group: &mut Group<'_>) {
    let page = PageRequest::new(PAGE);
    rig.statement(group, "tasks/save", task, |tx, task| tx.tasks().save(task));
    rig.statement(group, "tasks/get", task_id, |tx, id| tx.tasks().get(id));
    rig.statement(group, "tasks/list", nothing, {
        let page = page.clone();
        move |tx, ()| tx.tasks().list(&TaskFilter::default(), &page)
    });
    rig.statement(group, "sessions/save", session, |tx, session| {
        tx.sessions().save_if(session, SaveIf::Any)
    });
    rig.statement(group, "sessions/get", session_id, |tx, id| {
        tx.sessions().get(id)
    });
    rig.statement(group, "sessions/list", nothing, move |tx, ()| {
        tx.sessions().list(&SessionFilter::default(), &page)
    });
}

fn calls(criterion: &mut Criterion) {
    let rig = Rig::new();
    let mut group = short_group(criterion, "call");
    rig.call(&mut group, "agents/get", agent_id, async |store, id| {
        store.agents().get(id).await
    });
    rig.call(
        &mut group,
        "agents/save",
        known_agent,
        async |store, agent| store.agents().save(agent).await,
    );
    rig.call(&mut group, "tasks/get", task_id, async |store, id| {
        store.tasks().get(id).await
    });
    rig.call(&mut group, "sessions/get", session_id, async |store, id| {
        store.sessions().get(id).await
    });
    rig.call(&mut group, "agents/list", nothing, async |store, ()| {
        let page = PageRequest::new(PAGE);
        store.agents().list(&AgentFilter::default(), &page).await
    });
    rig.call(
        &mut group,
        "transitions/record",
        transition,
        async |store, draft| store.transitions().record(draft).await,
    );
    // The last: it leaves its rows in the store.
    rig.call(&mut group, "events/append", event, async |store, event| {
        store.events().append(event).await
    });
    group.finish();
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Regressions of a tenth are what this is for: less than a second each is enough to see them.
fn short_group<'c>(criterion: &'c mut Criterion, name: &str) -> Group<'c> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .nresamples(10_000);
    group
}

/// A store with rows in every table, and the runtime that it lives in.
struct Rig {
    runtime: Runtime,
    store: SqliteStateStore,
    /// A snapshot of the first agent.
    snapshot: String,
}

/// How a transaction that must not stay ends: with its own time, so that the store rolls it back.
enum End {
    Took(Duration),
    Failed(StateStoreError),
}

impl From<StateStoreError> for End {
    fn from(error: StateStoreError) -> Self {
        Self::Failed(error)
    }
}

impl Rig {
    fn new() -> Self {
        let runtime = done(Runtime::new());
        let (store, snapshot) = done(runtime.block_on(async {
            let options = StoreOptions::default().durability(Durability::Relaxed);
            let store = SqliteStateStore::temporary_with(options).await?;
            let snapshot = store.transact(|tx| samples::fill(tx, EVENTS)).await?;
            Ok::<_, StateStoreError>((store, snapshot))
        }));
        Self {
            runtime,
            store,
            snapshot,
        }
    }

    /// Measures `work` inside an open transaction, on inputs that are made before the clock starts.
    fn statement<I, T>(
        &self,
        group: &mut Group<'_>,
        name: &str,
        input: impl Fn(u64) -> I + Send + Sync + 'static,
        work: impl Fn(&mut Transaction<'_>, &I) -> Outcome<T> + Send + Sync + 'static,
    ) {
        let shared = Arc::new((input, work));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let shared = Arc::clone(&shared);
                let end = self.store.try_transact(move |tx| {
                    let (input, work) = &*shared;
                    let inputs: Vec<I> = (0..iterations).map(input).collect();
                    let start = Instant::now();
                    for input in &inputs {
                        black_box(work(tx, input)?);
                    }
                    Err::<(), End>(End::Took(start.elapsed()))
                });
                match self.runtime.block_on(end) {
                    Err(End::Took(time)) => time,
                    Err(End::Failed(error)) => done(Err(error)),
                    Ok(()) => Duration::ZERO,
                }
            });
        });
    }

    /// Measures whole calls, one after the other.
    fn call<I, T>(
        &self,
        group: &mut Group<'_>,
        name: &str,
        input: impl Fn(u64) -> I,
        work: impl AsyncFn(&SqliteStateStore, &I) -> Outcome<T>,
    ) {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let inputs: Vec<I> = (0..iterations).map(&input).collect();
                self.runtime.block_on(async {
                    let start = Instant::now();
                    for input in &inputs {
                        black_box(done(work(&self.store, input).await));
                    }
                    start.elapsed()
                })
            });
        });
    }
}

/// A benchmark whose subject fails has nothing to measure.
#[expect(clippy::panic, reason = "it ends the run with the error's own text")]
fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn nothing(_number: u64) {}
