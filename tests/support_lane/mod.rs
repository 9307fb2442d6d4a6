//! What the tests of the write lane share: samples, a lane that is held, deadlines, and looks into the file itself.
// Each test crate uses its own part of this.
#![allow(dead_code)]

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::{BigInt, Text};
use descartes_state::diesel::{SqliteConnection, sql_query};
use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{
    ActorType, AgentState, Durability, Event, SqliteStateStore, StateStoreError, StoreOptions,
    Task, TaskStatus,
};
use tempfile::TempDir;

/// A test that isn't done by then hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn agent(id: &str) -> AgentState {
    AgentState {
        agent_id: id.to_owned(),
        name: format!("Agent {id}"),
        status: "idle".to_owned(),
        metadata: json!({ "type": "worker" }),
        state_data: r#"{"step":1}"#.to_owned(),
        created_at: 1_000,
        updated_at: 2_000,
        version: 1,
    }
}

/// An event whose id is made from a number, the same in each run.
pub(crate) fn event(number: u128, content: &str) -> Event {
    Event {
        id: Uuid::from_u128(number),
        event_type: "note".to_owned(),
        timestamp: 3_000,
        session_id: "session".to_owned(),
        actor_type: ActorType::Agent,
        actor_id: "actor".to_owned(),
        content: content.to_owned(),
        metadata: None,
        git_commit: None,
    }
}

pub(crate) fn task(number: u128) -> Task {
    Task {
        id: Uuid::from_u128(number),
        title: format!("Task {number}"),
        description: None,
        status: TaskStatus::Todo,
        assigned_to: None,
        created_at: 1_000,
        updated_at: 2_000,
        metadata: None,
    }
}

/// Options for tests that don't look at durability: no fsync, few timeouts that matter.
pub(crate) fn quick() -> StoreOptions {
    StoreOptions::default().durability(Durability::Relaxed)
}

/// A store on a new file, and the directory that the file is in.
pub(crate) async fn open(options: StoreOptions) -> (TempDir, SqliteStateStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(&directory, options).await;
    (directory, store)
}

pub(crate) async fn open_in(directory: &TempDir, options: StoreOptions) -> SqliteStateStore {
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::open(path, options).await.unwrap();
    store.initialize().await.unwrap();
    store
}

/// The future's output, or a failure where it hangs.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it hangs")
}

/// Waits for a condition that nothing announces.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

/// The write lane of a store, held by a closure until it is released.
pub(crate) struct HeldLane {
    release: mpsc::Sender<()>,
    holder: tokio::task::JoinHandle<Result<(), StateStoreError>>,
}

impl HeldLane {
    /// Gives it when the closure has the lane, and has written an agent `holder`.
    pub(crate) async fn new(store: &SqliteStateStore) -> Self {
        let (release, released) = mpsc::channel();
        let (entered, has_entered) = tokio::sync::oneshot::channel();
        let store = store.clone();
        let holder = tokio::spawn(async move {
            store
                .transact(move |tx| {
                    tx.agents().save(&agent("holder"))?;
                    entered.send(()).unwrap();
                    // An error: the test is over.
                    let _ = released.recv_timeout(DEADLINE);
                    Ok(())
                })
                .await
        });
        soon(has_entered).await.unwrap();
        Self { release, holder }
    }

    pub(crate) async fn release(self) {
        self.release.send(()).unwrap();
        soon(self.holder).await.unwrap().unwrap();
    }
}

/// Polls a future once.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future up to `polls` times, each time that it wakes its task, and then drops it at once.
pub(crate) async fn polled_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut done = 0;
    std::future::poll_fn(|context| {
        if done == polls {
            return Poll::Ready(None);
        }
        done += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if done == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[derive(Default)]
struct Parked {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.woken.notify_one();
    }
}

/// An executor that knows nothing of tokio.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let parked = Arc::<Parked>::default();
    let waker = Waker::from(Arc::clone(&parked));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let is_woken = parked.is_woken.lock().unwrap();
        let (mut is_woken, waited) = parked
            .woken
            .wait_timeout_while(is_woken, DEADLINE, |is_woken| !*is_woken)
            .unwrap();
        assert!(!waited.timed_out(), "it hangs");
        *is_woken = false;
    }
}

/// A connection that is none of the store's.
pub(crate) fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().unwrap()).unwrap()
}

pub(crate) fn count(connection: &mut SqliteConnection, from: &str) -> i64 {
    diesel::select(diesel::dsl::sql::<BigInt>(&format!(
        "(SELECT count(*) FROM {from})"
    )))
    .get_result(connection)
    .unwrap()
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

pub(crate) fn lines(connection: &mut SqliteConnection, query: &str) -> Vec<String> {
    let lines: Vec<Line> = sql_query(query).load(connection).unwrap();
    lines.into_iter().map(|line| line.line).collect()
}

pub(crate) fn assert_intact(connection: &mut SqliteConnection) {
    let found = lines(
        connection,
        "SELECT integrity_check AS line FROM pragma_integrity_check",
    );
    assert_eq!(found, ["ok"]);
}
