//! The write lane: what writers that come together promise each other, their readers and other processes.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use descartes_state::diesel::connection::{
    Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation,
};
use descartes_state::{
    AgentFilter, Clock, Durability, EventFilter, PageRequest, Revision, SaveIf, Seq,
    SqliteStateStore, StateStoreError, StoreOptions, TransitionDraft,
};
use descartes_state_testing::{
    HeldWriter, agent, assert_intact, connect, count, numbered_event, numbered_task, open, open_in,
    poll_once, quick, soon,
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
    // The full-text index refuses new words: a transaction with an event in it fails at its end.
    let mut other = connect(store.path());
    other
        .batch_execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON events_search_docsize BEGIN
                SELECT RAISE(ABORT, 'refused'); END;",
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

#[tokio::test]
async fn readers_never_wait_for_a_writer() {
    let (_directory, store) = open(quick()).await;
    store.save_agent_state(&agent("one")).await.unwrap();
    store.save_event(&numbered_event(1, "hello")).await.unwrap();
    let lane = HeldWriter::new(&store).await;
    let first = PageRequest::default();
    for _ in 0..3 {
        assert!(soon(store.load_agent_state("one")).await.unwrap().is_some());
        assert!(
            soon(store.load_agent_state("holder"))
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(soon(store.list_agents()).await.unwrap().len(), 1);
        let page = soon(store.agents().list(&AgentFilter::default(), &first))
            .await
            .unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(soon(store.search_events("hello")).await.unwrap().len(), 1);
        assert_eq!(
            soon(store.events().count(&EventFilter::default()))
                .await
                .unwrap(),
            1
        );
        let seen = soon(store.read(|tx| tx.agents().count(&AgentFilter::default())))
            .await
            .unwrap();
        assert_eq!(seen, 1);
    }
    lane.release().await;
    assert!(store.load_agent_state("holder").await.unwrap().is_some());
}

#[tokio::test]
async fn writers_are_served_in_the_order_in_which_they_came() {
    let (_directory, store) = open(quick()).await;
    let lane = HeldWriter::new(&store).await;
    let mut calls: Vec<Pin<Box<dyn Future<Output = Seq> + Send>>> = Vec::new();
    for number in 0..600 {
        let store = store.clone();
        let draft = TransitionDraft::new("agent", "{}", number.to_string());
        let mut call: Pin<Box<dyn Future<Output = Seq> + Send>> = if number % 50 == 25 {
            Box::pin(async move {
                store
                    .transact(move |tx| tx.transitions().record(&draft))
                    .await
                    .unwrap()
            })
        } else {
            Box::pin(async move { store.transitions().record(&draft).await.unwrap() })
        };
        assert!(poll_once(call.as_mut()).is_pending());
        calls.push(call);
    }
    lane.release().await;
    let mut order = Vec::new();
    for call in calls {
        order.push(soon(call).await);
    }
    assert_eq!(order, (1..=600).map(Seq::from).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_starves_while_others_keep_writing() {
    let (_directory, store) = open(quick()).await;
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let crowd: Vec<_> = (0..16)
        .map(|number| {
            let (store, is_over) = (store.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    store
                        .save_agent_state(&agent(&number.to_string()))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for number in 0..20 {
        soon(store.transact(move |tx| tx.tasks().save(&numbered_task(number))))
            .await
            .unwrap();
        soon(store.save_event(&numbered_event(number, "in the crowd")))
            .await
            .unwrap();
        soon(store.list_agents()).await.unwrap();
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    for one in crowd {
        soon(one).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_is_queue_full_after_the_timeout_and_nothing_is_written() {
    let limit = Duration::from_millis(200);
    let (_directory, store) = open(quick().write_queue(4).acquire_timeout(limit)).await;
    let lane = HeldWriter::new(&store).await;
    // The holder's own place is taken too, until it ends.
    let mut waiting: Vec<_> = Vec::new();
    for number in 0..3 {
        let store = store.clone();
        let mut call = Box::pin(async move {
            store
                .save_agent_state(&agent(&format!("in-{number}")))
                .await
        });
        assert!(poll_once(call.as_mut()).is_pending());
        waiting.push(call);
    }
    let started = Instant::now();
    let refused = soon(store.save_agent_state(&agent("refused"))).await;
    assert!(
        matches!(refused, Err(StateStoreError::QueueFull { capacity: 4 })),
        "{refused:?}"
    );
    assert!(refused.unwrap_err().is_retryable());
    assert!(started.elapsed() >= limit);

    // One that is withdrawn leaves its place to another at once, though the lane is still held.
    drop(waiting.pop());
    let next = agent("next");
    let mut next = Box::pin(store.save_agent_state(&next));
    assert!(poll_once(next.as_mut()).is_pending());
    lane.release().await;
    soon(next).await.unwrap();
    for call in waiting {
        // They may have waited longer than they are ready to, but what they hear is true.
        let heard = soon(call).await;
        assert!(
            matches!(heard, Ok(()) | Err(StateStoreError::Timeout { .. })),
            "{heard:?}"
        );
    }
    let mut ids: Vec<_> = store
        .list_agents()
        .await
        .unwrap()
        .into_iter()
        .map(|agent| agent.agent_id)
        .collect();
    ids.retain(|id| id == "refused" || id == "in-2");
    assert!(ids.is_empty(), "{ids:?}");
}

#[tokio::test]
async fn a_write_that_waits_too_long_is_a_timeout_and_never_appears() {
    let limit = Duration::from_millis(100);
    let (_directory, store) = open(quick().acquire_timeout(limit)).await;
    let lane = HeldWriter::new(&store).await;
    let started = Instant::now();
    let late = soon(store.save_agent_state(&agent("late"))).await;
    assert!(
        matches!(
            late,
            Err(StateStoreError::Timeout {
                operation: "agents.save",
                ..
            })
        ),
        "{late:?}"
    );
    assert!(started.elapsed() >= limit);
    let late = soon(store.transact(|tx| tx.agents().save(&agent("late")))).await;
    assert!(
        matches!(
            late,
            Err(StateStoreError::Timeout {
                operation: "transact",
                ..
            })
        ),
        "{late:?}"
    );
    lane.release().await;
    store.save_agent_state(&agent("after")).await.unwrap();
    assert!(store.load_agent_state("late").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_write_is_visible_to_another_connection() {
    let (_directory, store) = open(quick()).await;
    let mut other = connect(store.path());
    for number in 0..50 {
        store
            .save_agent_state(&agent(&number.to_string()))
            .await
            .unwrap();
        assert_eq!(count(&mut other, "agent_states"), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_in_one_process_makes_the_database_locked() {
    // No time at all to wait for a lock: any that the process held against itself would show.
    let options = || quick().busy_timeout(Duration::ZERO).readers(4);
    let (directory, first) = open(options()).await;
    let mut stores = vec![first];
    for _ in 0..3 {
        stores.push(open_in(&directory, options()).await);
    }
    let mut workers = Vec::new();
    for worker in 0..16u128 {
        let store = stores[usize::try_from(worker % 4).unwrap()]
            .with_prefix(format!("prefix-{}", worker % 5));
        workers.push(tokio::spawn(async move {
            for round in 0..25u128 {
                let id = worker * 1_000 + round;
                store.save_agent_state(&agent(&worker.to_string())).await?;
                store.save_event(&numbered_event(id, "mixed load")).await?;
                store
                    .transact(move |tx| tx.tasks().save(&numbered_task(id)))
                    .await?;
                store.load_agent_state(&worker.to_string()).await?;
                store.search_events("mixed").await?;
                store
                    .read(|tx| tx.agents().count(&AgentFilter::default()))
                    .await?;
                if round % 8 == 0 {
                    store.migrations().preview_revert().await?;
                    store.initialize().await?;
                    store.events().purge_before(0).await?;
                }
            }
            Ok::<(), StateStoreError>(())
        }));
    }
    for worker in workers {
        soon(worker).await.unwrap().unwrap();
    }
    let mut other = connect(stores[0].path());
    assert_eq!(count(&mut other, "events"), 400);
    assert_eq!(count(&mut other, "tasks"), 400);
    assert_intact(&mut other);
}

/// Awaits a call on a thread that does other things too; returns the longest that those had to wait.
async fn with_ticker<F: Future>(call: F) -> (F::Output, Duration) {
    let mut call = std::pin::pin!(call);
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    let output = soon(std::future::poll_fn(|context| {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }))
    .await;
    (output, longest.max(last.elapsed()))
}

#[tokio::test]
async fn a_lock_of_another_process_is_busy_in_time_and_stalls_no_runtime_thread() {
    let limit = Duration::from_millis(500);
    let (_directory, store) = open(quick().busy_timeout(limit)).await;
    store.save_agent_state(&agent("warm")).await.unwrap();
    let mut other = connect(store.path());
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    let started = Instant::now();
    let (busy, longest) = with_ticker(store.save_agent_state(&agent("busy"))).await;
    assert!(
        matches!(
            busy,
            Err(StateStoreError::Busy {
                operation: "agents.save"
            })
        ),
        "{busy:?}"
    );
    assert!(started.elapsed() >= limit);
    assert!(
        longest < limit / 2,
        "the runtime's thread stood still for {longest:?}"
    );

    let (busy, longest) = with_ticker(store.transact(|tx| tx.agents().save(&agent("busy")))).await;
    assert!(
        matches!(
            busy,
            Err(StateStoreError::Busy {
                operation: "transact"
            })
        ),
        "{busy:?}"
    );
    assert!(
        longest < limit / 2,
        "the runtime's thread stood still for {longest:?}"
    );

    // Reads go on.
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
    other.batch_execute("COMMIT").unwrap();
    store.save_agent_state(&agent("after")).await.unwrap();
    assert!(store.load_agent_state("busy").await.unwrap().is_none());
}

#[tokio::test]
async fn a_lock_of_another_process_that_goes_in_time_is_waited_for() {
    let (_directory, store) = open(quick()).await;
    store.save_agent_state(&agent("warm")).await.unwrap();
    let mut other = connect(store.path());
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let patient = agent("patient");
    let mut save = Box::pin(store.save_agent_state(&patient));
    assert!(poll_once(save.as_mut()).is_pending());
    other.batch_execute("COMMIT").unwrap();
    soon(save).await.unwrap();
    assert!(store.load_agent_state("patient").await.unwrap().is_some());
}

#[tokio::test]
async fn full_durability_is_refused_where_the_file_is_open_with_relaxed() {
    let (directory, relaxed) = open(quick()).await;
    let path = directory.path().join("state.db");
    let full =
        || SqliteStateStore::open(&path, StoreOptions::default().durability(Durability::Full));
    let refused = full().await;
    assert!(matches!(
        refused,
        Err(StateStoreError::InvalidInput {
            field: "options",
            ..
        })
    ));
    // The other way round nobody loses anything, and each store that is gone is out of the way.
    relaxed.close().await.unwrap();
    let first = full().await.unwrap();
    let second = SqliteStateStore::open(&path, quick()).await.unwrap();
    second.save_agent_state(&agent("safe")).await.unwrap();
    drop((first, second));
    SqliteStateStore::open(&path, quick()).await.unwrap();
    soon(full()).await.unwrap();
}
