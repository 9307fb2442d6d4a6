//! Instructions of the hot statements and calls, counted by valgrind's callgrind: they move when the code does, not when
//! the machine is busy. Each number is that of ten operations on a warm connection; runs of the same code differ by one
//! percent or so. A benchmark that fails panics: it has nothing to measure.
//!
//! It takes valgrind and the runner of gungraun, of exactly the version in Cargo.toml. In `benches/`:
//!
//! ```sh
//! cargo install gungraun-runner --version 0.20.0 --locked --root target
//! GUNGRAUN_RUNNER=$PWD/target/bin/gungraun-runner cargo bench -p instructions
//! ```
//!
//! Each run says what has changed since the last one; `cargo bench -- --save-baseline=NAME` and `--baseline=NAME` compare
//! with a run that is kept. What SQLite asks of the system (fsync, reads and writes) counts nothing here.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

use std::hint::black_box;
use std::time::Duration;

use descartes_state::{
    AgentFilter, AgentState, ChangeIf, Durability, Event, EventFilter, PageRequest, SaveIf,
    Session, SnapshotOptions, SqliteStateStore, StateStoreError, StoreOptions, Task, Transaction,
    TransitionDraft, TransitionFilter,
};
use gungraun::{
    Callgrind, EntryPoint, EventKind, LibraryBenchmarkConfig, OutputFormat, library_benchmark,
    library_benchmark_group, main,
};
use samples::{COMMON_WORD, PAGE, agent_id, event, known_agent, session, task, transition};
use tokio::runtime::Runtime;

type Outcome = Result<(), StateStoreError>;

/// Few, because valgrind fills the store fifty times slower; pages are full all the same.
const EVENTS: u64 = 500;
/// Operations that are counted: one alone differs by a few percent from run to run, with the allocator's mood.
const REPEATS: u64 = 10;
/// Operations before those: they prepare the statement, and bring its pages into the cache.
const WARM_UPS: u64 = 3;

struct Rig {
    runtime: Runtime,
    store: SqliteStateStore,
}

fn rig() -> Rig {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let store = runtime.block_on(async {
        let options = StoreOptions::default()
            .durability(Durability::Relaxed)
            // Under valgrind everything is slow, and work that moves to the blocking pool isn't counted.
            .inline_budget(Duration::MAX);
        let store = SqliteStateStore::temporary_with(options).await?;
        store.transact(|tx| samples::fill(tx, EVENTS)).await?;
        Ok::<_, StateStoreError>(store)
    });
    Rig {
        runtime,
        store: store.expect("a store with rows in it"),
    }
}

/// callgrind counts from entry to exit of this function, on whatever thread.
#[inline(never)]
fn counted(work: &mut dyn FnMut() -> Outcome) -> Outcome {
    black_box(work())
}

/// What the operations work on, made before the count begins.
struct Input {
    agent: AgentState,
    agent_id: String,
    event: Event,
    transition: TransitionDraft,
    task: Task,
    session: Session,
    history: TransitionFilter,
    page: PageRequest,
}

impl Input {
    fn several() -> Vec<Self> {
        (0..REPEATS).map(Self::new).collect()
    }

    fn new(number: u64) -> Self {
        Self {
            agent: known_agent(number),
            agent_id: agent_id(number),
            event: event(number),
            transition: transition(number),
            task: task(number),
            session: session(number),
            history: TransitionFilter::default().agent(agent_id(0)),
            page: PageRequest::new(PAGE),
        }
    }
}

#[library_benchmark]
#[bench::agents_save(|tx, its| tx.agents().save(&its.agent).map(drop))]
#[bench::agents_get(|tx, its| tx.agents().get(&its.agent_id).map(drop))]
#[bench::agents_set_status(|tx, its| tx.agents().set_status(&its.agent_id, "paused", ChangeIf::Any).map(drop))]
#[bench::agents_list(|tx, its| tx.agents().list(&AgentFilter::default(), &its.page).map(drop))]
#[bench::events_append(|tx, its| tx.events().append(&its.event).map(drop))]
#[bench::events_list(|tx, its| tx.events().list(&EventFilter::default(), &its.page).map(drop))]
#[bench::events_search(|tx, its| tx.events().search(COMMON_WORD, &EventFilter::default(), &its.page).map(drop))]
#[bench::transitions_record(|tx, its| tx.transitions().record(&its.transition).map(drop))]
#[bench::transitions_history(|tx, its| tx.transitions().list(&its.history, &its.page).map(drop))]
#[bench::snapshots_create(|tx, its| tx.snapshots().create(&its.agent_id, &SnapshotOptions::default()).map(drop))]
#[bench::tasks_save(|tx, its| tx.tasks().save(&its.task).map(drop))]
#[bench::tasks_get(|tx, its| tx.tasks().get(&its.task.id).map(drop))]
#[bench::sessions_save(|tx, its| tx.sessions().save_if(&its.session, SaveIf::Any).map(drop))]
#[bench::sessions_get(|tx, its| tx.sessions().get(&its.session.id).map(drop))]
fn statement(work: fn(&mut Transaction<'_>, &Input) -> Outcome) {
    let rig = rig();
    let done = rig.runtime.block_on(rig.store.transact(move |tx| {
        for number in 1..=WARM_UPS {
            work(tx, &Input::new(number))?;
        }
        let inputs = Input::several();
        counted(&mut || inputs.iter().try_for_each(|input| work(tx, input)))
    }));
    done.expect("the statement succeeds");
}

#[library_benchmark]
#[bench::agents_save(|runtime, store, its| runtime.block_on(store.agents().save(&its.agent)).map(drop))]
#[bench::agents_get(|runtime, store, its| runtime.block_on(store.agents().get(&its.agent_id)).map(drop))]
#[bench::events_append(|runtime, store, its| runtime.block_on(store.events().append(&its.event)).map(drop))]
fn call(work: fn(&Runtime, &SqliteStateStore, &Input) -> Outcome) {
    let rig = rig();
    for number in 1..=WARM_UPS {
        work(&rig.runtime, &rig.store, &Input::new(number)).expect("the call succeeds");
    }
    let inputs = Input::several();
    let mut calls = || {
        inputs
            .iter()
            .try_for_each(|input| work(&rig.runtime, &rig.store, input))
    };
    counted(&mut calls).expect("the calls succeed");
}

library_benchmark_group!(name = statements, benchmarks = statement);
library_benchmark_group!(name = calls, benchmarks = call);

main!(
    config = LibraryBenchmarkConfig::default()
        .tool(
            // The count of instructions is all that is wanted, and takes half the time without a cache to simulate.
            Callgrind::with_args(["--cache-sim=no"])
                .entry_point(EntryPoint::Custom("*::counted".to_owned()))
                .format([EventKind::Ir])
        )
        .output_format(OutputFormat::default().truncate_description(Some(0))),
    library_benchmark_groups = [statements, calls]
);
