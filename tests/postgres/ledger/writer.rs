//! A process that writes, and keeps a ledger of what it was told.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use descartes_state::error::ErrorKind;
use descartes_state::{
    AgentState, Event, PostgresStateStore, Seq, StateStoreError, Step, StoreOptions,
    TransitionDraft, new_id,
};
use descartes_state_testing::{DEADLINE, agent, event};
use tokio::task::JoinSet;

use super::entries::{CHAPTER, Kind, Told, Written, begun_line, name, told_line};

const URL: &str = "DESCARTES_STATE_TEST_URL";
const LEDGER: &str = "DESCARTES_STATE_TEST_LEDGER";
/// The process's own name, of which its writes are named.
const NAME: &str = "DESCARTES_STATE_TEST_NAME";
const PATIENCE: &str = "DESCARTES_STATE_TEST_PATIENCE";

/// How many tasks of a process write at once: enough to share statements.
const TASKS: usize = 8;

/// Starts a process: this test binary once more. It ends when its input does, so also with its parent.
pub(super) fn start(url: &str, name: &str, ledger: &Path, log: &Path, patience: Duration) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(log);
    let log = log.unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([
            "ledger::writer::child_that_writes_until_its_input_ends",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(URL, url)
        .env(LEDGER, ledger)
        .env(NAME, name)
        .env(PATIENCE, patience.as_millis().to_string())
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the body of a child process"]
async fn child_that_writes_until_its_input_ends() {
    let (Ok(url), Some(ledger), Ok(name)) = (
        std::env::var(URL),
        std::env::var_os(LEDGER),
        std::env::var(NAME),
    ) else {
        return;
    };
    let ledger = OpenOptions::new().append(true).open(ledger).unwrap();
    let patience: u64 = std::env::var(PATIENCE).unwrap().parse().unwrap();
    let store = connect(&url, Duration::from_millis(patience)).await;
    let (ledger, is_over) = (Arc::new(ledger), Arc::new(AtomicBool::new(false)));
    // A thread of its own: a runtime that ends after a panic would wait for one of its own.
    let over = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _nothing = std::io::stdin().read_to_end(&mut Vec::new());
        over.store(true, Ordering::Release);
    });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, ledger, is_over) = (store.clone(), Arc::clone(&ledger), Arc::clone(&is_over));
        let name = format!("{name}-{task}");
        tasks.spawn(async move {
            for chapter in 0.. {
                let chapter = format!("{name}/{chapter}");
                for number in 0..CHAPTER {
                    if is_over.load(Ordering::Acquire) {
                        return;
                    }
                    write_and_record(&store, &ledger, &chapter, number).await;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Opens the store as soon as the server is there.
async fn connect(url: &str, patience: Duration) -> PostgresStateStore {
    let started = Instant::now();
    loop {
        let options = StoreOptions::default().acquire_timeout(patience);
        match PostgresStateStore::connect(url, options).await {
            Ok(store) => return store,
            Err(error) if error.is_retryable() && started.elapsed() < DEADLINE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn write_and_record(
    store: &PostgresStateStore,
    mut ledger: &File,
    chapter: &str,
    number: usize,
) {
    // One write to the file a line. It isn't synced: processes are killed here, not the system.
    let begun = begun_line(chapter, number);
    ledger.write_all(begun.as_bytes()).unwrap();
    let told = match write(store, chapter, number).await {
        Ok(written) => Told::Acknowledged(written),
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => Told::Unknown,
        Err(error) => Told::Failed(error.kind().to_string()),
    };
    let told = told_line(chapter, number, &told);
    ledger.write_all(told.as_bytes()).unwrap();
}

/// One write, whose name is in each of its rows.
async fn write(
    store: &PostgresStateStore,
    chapter: &str,
    number: usize,
) -> Result<Written, StateStoreError> {
    let (kind, name) = (Kind::of(number), name(chapter, number));
    let state = AgentState {
        state_data: name.clone(),
        ..agent(&kind.agent(chapter))
    };
    let events: Vec<_> = (0..kind.rows().1)
        .map(|_| Event {
            session_id: chapter.to_owned(),
            actor_id: name.clone(),
            ..event("a line")
        })
        .collect();
    let numbers = |seqs: Vec<Seq>| seqs.into_iter().map(Seq::get).collect::<Vec<_>>();
    let mut written = Written::default();
    match kind {
        Kind::Save => written.revision = store.agents().save(&state).await?.get(),
        Kind::Step => {
            let mut step = Step::to(&state).events(&events);
            // Every other one shares no statement.
            if number / Kind::ALL.len() % 2 == 1 {
                step = step.id(new_id());
            }
            let stepped = store.agents().step(&step).await?;
            written.revision = stepped.revision.get();
            written.transition = stepped.transition.get();
            written.events = numbers(stepped.events);
        }
        Kind::Append => written.events = vec![store.events().append(&events[0]).await?.get()],
        Kind::AppendAll => written.events = numbers(store.events().append_all(&events).await?),
        Kind::Batch => {
            let mut batch = store.batch();
            let draft = TransitionDraft::new(&state.agent_id, "", name);
            let revision = batch.agents().save(&state)?;
            let event = batch.events().append(&events[0])?;
            let transition = batch.transitions().record(&draft)?;
            let done = batch.commit().await?;
            written.revision = done.get(revision)?.get();
            written.transition = done.get(transition)?.get();
            written.events = vec![done.get(event)?.get()];
        }
        Kind::Closure => {
            let both = move |tx: &mut descartes_state::Transaction<'_>| {
                let revision = tx.agents().save(&state)?;
                Ok((revision, tx.events().append(&events[0])?))
            };
            let (revision, event) = store.transact(both).await?;
            written.revision = revision.get();
            written.events = vec![event.get()];
        }
    }
    Ok(written)
}
