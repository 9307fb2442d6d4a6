//! The write lane: what writers that come together promise each other, their readers and other processes.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use descartes_state::diesel::connection::{
    Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation,
};
use descartes_state::{Clock, Revision, SaveIf, SqliteStateStore, StateStoreError, StoreOptions};
use descartes_state_testing::{
    HeldWriter, agent, connect, count, numbered_event, numbered_task, open, quick, soon,
};

/// COMMITs by database, counted in every connection of this test program.
static COMMITS: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);

#[derive(Default)]
struct CommitCounter {
    database: String,
}

impl Instrumentation for CommitCounter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                url.clone_into(&mut self.database);
            }
            InstrumentationEvent::CommitTransaction { .. } => {
                let mut commits = COMMITS.lock().unwrap();
                *commits
                    .get_or_insert_default()
                    .entry(self.database.clone())
                    .or_default() += 1;
            }
            _ => {}
        }
    }
}

fn count_commits() {
    set_default_instrumentation(|| Some(Box::new(CommitCounter::default()))).unwrap();
}

/// COMMITs so far in the files of this directory.
fn commits(directory: &tempfile::TempDir) -> usize {
    let name = directory.path().file_name().unwrap().to_str().unwrap();
    let commits = COMMITS.lock().unwrap();
    let of_directory = commits.iter().flatten().filter(|(database, _)| {
        // The store opens files by URI, where only plain characters stand as they are.
        database.replace("%2E", ".").contains(name)
    });
    of_directory.map(|(_, commits)| commits).sum()
}

type Saves = Vec<tokio::task::JoinHandle<Result<(), StateStoreError>>>;

fn spawn_saves(store: &SqliteStateStore, saves: usize) -> Saves {
    (0..saves)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .save_agent_state(&agent(&format!("agent-{number}")))
                    .await
            })
        })
        .collect()
}

async fn all_succeed(saves: Saves) {
    for save in saves {
        soon(save).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn writes_that_wait_together_commit_together() {
    count_commits();
    let (directory, store) = open(quick()).await;
    let lane = HeldWriter::new(&store).await;
    let saves = spawn_saves(&store, 64);
    // Each task runs to its first await, and so into the queue.
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    let before = commits(&directory);
    lane.release().await;
    all_succeed(saves).await;
    // The holder's own, and one for all the others.
    assert_eq!(commits(&directory) - before, 2);
    assert_eq!(store.list_agents().await.unwrap().len(), 65);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_concurrent_saves_need_fewer_than_32_commits() {
    count_commits();
    let (directory, store) = open(StoreOptions::default()).await;
    let mut rounds = Vec::new();
    for _ in 0..8 {
        let before = commits(&directory);
        all_succeed(spawn_saves(&store, 64)).await;
        rounds.push(commits(&directory) - before);
    }
    // The lane is cold in the first round: nobody can go ahead of the others. In the others that is up to the machine.
    assert!(rounds[0] < 32, "{rounds:?}");
    assert!(
        rounds[1..].iter().any(|commits| *commits < 32),
        "{rounds:?}"
    );
}

#[tokio::test]
async fn sixty_four_concurrent_saves_on_one_thread_need_fewer_than_32_commits() {
    count_commits();
    let (directory, store) = open(StoreOptions::default()).await;
    // A lone writer for a while, so that company comes as a surprise.
    for _ in 0..100 {
        store.save_agent_state(&agent("alone")).await.unwrap();
    }
    for _ in 0..4 {
        let before = commits(&directory);
        all_succeed(spawn_saves(&store, 64)).await;
        let commits = commits(&directory) - before;
        assert!(commits < 32, "{commits}");
    }
}

/// A clock that panics when its hour has come: the one way to make the store's own operation panic.
#[derive(Debug, Default)]
struct Alarm(std::sync::atomic::AtomicBool);

#[derive(Debug, Clone, Default)]
struct AlarmClock(Arc<Alarm>);

impl Clock for AlarmClock {
    fn now_micros(&self) -> i64 {
        assert!(
            !self.0.0.load(std::sync::atomic::Ordering::SeqCst),
            "the alarm rings"
        );
        1_763_856_000_000_000
    }
}

#[tokio::test]
async fn a_failing_write_among_many_harms_none() {
    let alarm = AlarmClock::default();
    let (_directory, store) = open(quick().clock(alarm.clone())).await;
    store.save_agent_state(&agent("there")).await.unwrap();
    let mut other = connect(store.path());
    // One that fails alone, one that takes the whole transaction with it.
    other
        .batch_execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON agent_states WHEN NEW.agent_id = 'refused' BEGIN
                SELECT RAISE(ABORT, 'refused'); END;
             CREATE TRIGGER take_down BEFORE INSERT ON agent_states WHEN NEW.agent_id = 'taker' BEGIN
                SELECT RAISE(ROLLBACK, 'taken down'); END;",
        )
        .unwrap();
    let lane = HeldWriter::new(&store).await;

    let before = spawn_saves(&store, 20);
    let conflict = in_queue(&store, |store| async move {
        store
            .agents()
            .save_if(&agent("there"), SaveIf::Revision(Revision::from(7)))
            .await
            .map(drop)
    })
    .await;
    let refused = in_queue(&store, |store| async move {
        store.save_agent_state(&agent("refused")).await
    })
    .await;
    let taker = in_queue(&store, |store| async move {
        store.save_agent_state(&agent("taker")).await
    })
    .await;
    let invalid = in_queue(&store, |store| async move {
        store.save_agent_state(&agent("")).await
    })
    .await;
    let panicking = in_queue(&store, |store| async move {
        store
            .transact(|tx| -> Result<(), StateStoreError> {
                tx.agents().save(&agent("panicking"))?;
                panic!("in a closure")
            })
            .await
    })
    .await;
    let batch = in_queue(&store, |store| async move {
        store
            .events()
            .append_all(&[numbered_event(1, "one"), numbered_event(1, "another")])
            .await
            .map(drop)
    })
    .await;
    let after: Saves = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.save_task(&numbered_task(number)).await })
        })
        .collect();
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    lane.release().await;

    all_succeed(before).await;
    all_succeed(after).await;
    assert!(matches!(
        soon(conflict).await.unwrap(),
        Err(StateStoreError::Conflict { actual, .. }) if actual.get() == 1
    ));
    assert!(matches!(
        soon(invalid).await.unwrap(),
        Err(StateStoreError::InvalidInput { .. })
    ));
    assert!(matches!(
        soon(panicking).await.unwrap(),
        Err(StateStoreError::Panicked { .. })
    ));
    assert!(matches!(
        soon(batch).await.unwrap(),
        Err(StateStoreError::Conflict { .. })
    ));
    for (failed, message) in [(refused, "refused"), (taker, "taken down")] {
        let error = soon(failed).await.unwrap().unwrap_err();
        assert!(
            matches!(error, StateStoreError::DatabaseError(_)),
            "{error}"
        );
        assert!(error.to_string().contains(message), "{error}");
    }
    assert_eq!(count(&mut other, "agent_states"), 22);
    assert_eq!(count(&mut other, "tasks"), 20);
    assert_eq!(count(&mut other, "events"), 0);

    // The store's own operation panics: the next one finds everything in order.
    alarm.0.0.store(true, std::sync::atomic::Ordering::SeqCst);
    let rung = store.update_agent_status("there", "busy").await;
    assert!(
        matches!(rung, Err(StateStoreError::Panicked { .. })),
        "{rung:?}"
    );
    alarm.0.0.store(false, std::sync::atomic::Ordering::SeqCst);
    store.update_agent_status("there", "busy").await.unwrap();
}

/// Runs a call in a task of its own, and comes back when it waits.
async fn in_queue<F>(
    store: &SqliteStateStore,
    call: impl FnOnce(SqliteStateStore) -> F,
) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let task = tokio::spawn(call(store.clone()));
    tokio::task::yield_now().await;
    task
}

#[tokio::test]
async fn what_a_refused_write_saw_in_a_failed_transaction_is_not_told_as_truth() {
    let (_directory, store) = open(quick()).await;
    store.save_agent_state(&agent("contended")).await.unwrap();
    // An event leaves a row that no commit accepts: a transaction with one in it fails at its end.
    let mut other = connect(store.path());
    other
        .batch_execute(
            "CREATE TABLE orphans (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES orphans (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN INSERT INTO orphans (parent) VALUES (1000); END;",
        )
        .unwrap();
    drop(other);
    let lane = HeldWriter::new(&store).await;
    let winner = in_queue(&store, |store| async move {
        store
            .agents()
            .save_if(&agent("contended"), SaveIf::Revision(Revision::from(1)))
            .await
            .map(drop)
    })
    .await;
    let loser = in_queue(&store, |store| async move {
        store
            .agents()
            .save_if(&agent("contended"), SaveIf::Revision(Revision::from(1)))
            .await
            .map(drop)
    })
    .await;
    let breaker = in_queue(&store, |store| async move {
        store.save_event(&numbered_event(1, "word")).await
    })
    .await;
    lane.release().await;
    for call in [winner, loser, breaker] {
        let error = soon(call).await.unwrap().unwrap_err();
        // Revision 2 was rolled back, so nobody may hear of it.
        assert!(
            matches!(error, StateStoreError::DatabaseError(_)),
            "{error}"
        );
    }
    let record = store.agents().get("contended").await.unwrap().unwrap();
    assert_eq!(record.revision, Revision::from(1));
}
