//! Writers of several processes on one file: each gets its turn. Each process is this test binary once more.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::{Event, SqliteStateStore};
use descartes_state_testing::{connect_patiently, count, event, lines, until};

const FILE: &str = "DESCARTES_STATE_TEST_TURNS";
const NAME: &str = "DESCARTES_STATE_TEST_NAME";
const TASKS: &str = "DESCARTES_STATE_TEST_TASKS";

/// A process that writes until it is dropped.
struct Writing(Child);

impl Writing {
    fn start(test: &str, path: &Path, name: &str, tasks: usize) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                test,
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(FILE, path)
            .env(NAME, name)
            .env(TASKS, tasks.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn store(path: &Path, name: &str, tasks: usize) -> Self {
        Self::start("turns::child_that_appends", path, name, tasks)
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Stops it, and returns once none of its threads runs: one that is in a system call first ends that, and may come out of it
    /// with a lock.
    async fn stop(&self) {
        self.signal("-STOP");
        until("it has stopped", || self.has_stopped()).await;
    }

    #[cfg(target_os = "linux")]
    fn has_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        threads.flatten().all(|thread| {
            // A thread that is gone runs no more.
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn has_stopped(&self) -> bool {
        true
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind, stopped or not.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What the parent says: this is set once it wants no more.
fn until_the_parent_ends() -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _nothing = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Release);
    });
    is_over
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the body of a child process"]
async fn child_that_appends() {
    let (Some(path), Ok(name)) = (std::env::var_os(FILE), std::env::var(NAME)) else {
        return;
    };
    let is_over = until_the_parent_ends();
    let store = SqliteStateStore::new(path, false).await.unwrap();
    store.initialize().await.unwrap();
    let tasks: usize = std::env::var(TASKS).unwrap().parse().unwrap();
    let mut writing = Vec::new();
    for _ in 0..tasks {
        let (store, is_over) = (store.clone(), Arc::clone(&is_over));
        let appended = Event {
            session_id: name.clone(),
            ..event("a line")
        };
        writing.push(tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Acquire) {
                let started = Instant::now();
                let next = Event {
                    id: descartes_state::new_id(),
                    ..appended.clone()
                };
                store.events().append(&next).await.unwrap();
                longest = longest.max(started.elapsed());
            }
            longest
        }));
    }
    let mut longest = Duration::ZERO;
    for task in writing {
        longest = longest.max(task.await.unwrap());
    }
    eprintln!("{name}: the longest write took {longest:?}");
    store.close().await.unwrap();
}

#[test]
#[ignore = "the body of a child process"]
fn child_that_takes_no_turns() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let is_over = until_the_parent_ends();
    let mut connection = connect_patiently(Path::new(&path));
    while !is_over.load(Ordering::Acquire) {
        let write = "BEGIN IMMEDIATE; UPDATE raw_writes SET number = number + 1; COMMIT;";
        connection.batch_execute(write).unwrap();
    }
}

/// Who appended the events, in their order.
fn order(connection: &mut SqliteConnection) -> Vec<String> {
    lines(
        connection,
        "SELECT session_id AS line FROM events ORDER BY seq",
    )
}

fn appended(connection: &mut SqliteConnection) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in order(connection) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

async fn store_of(directory: &tempfile::TempDir) -> std::path::PathBuf {
    let path = directory.path().join("state.db");
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    store.close().await.unwrap();
    path
}

#[tokio::test]
async fn writers_of_several_processes_write_in_turn() {
    const PROCESSES: usize = 6;
    let directory = tempfile::tempdir().unwrap();
    let path = store_of(&directory).await;
    let names: Vec<String> = (0..PROCESSES).map(|number| format!("w{number}")).collect();
    let writing: Vec<_> = names
        .iter()
        .map(|name| Writing::store(&path, name, 1))
        .collect();
    let mut connection = connect_patiently(&path);
    until("everybody has written", || {
        let counts = appended(&mut connection);
        counts.len() == PROCESSES && counts.values().all(|count| *count >= 200)
    })
    .await;
    writing.into_iter().for_each(Writing::end);
    // While all of them were at it.
    let order = order(&mut connection);
    let first = names
        .iter()
        .filter_map(|name| order.iter().position(|other| other == name));
    let last = names
        .iter()
        .filter_map(|name| order.iter().rposition(|other| other == name));
    let together = &order[first.max().unwrap()..=last.min().unwrap()];
    let fair = together.len() / PROCESSES;
    assert!(fair > 100, "{}", together.len());
    for name in &names {
        let turns = together.iter().filter(|other| *other == name).count();
        assert!(
            turns > fair / 2 && turns < fair * 2,
            "{name} had {turns} of {} turns of {PROCESSES}",
            together.len()
        );
    }
}

#[tokio::test]
async fn beside_a_writer_that_takes_no_turns_everybody_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = store_of(&directory).await;
    let mut connection = connect_patiently(&path);
    let table = "CREATE TABLE raw_writes(number INTEGER); INSERT INTO raw_writes VALUES(0);";
    connection.batch_execute(table).unwrap();
    let raw = Writing::start("turns::child_that_takes_no_turns", &path, "raw", 1);
    until("it writes", || {
        count(&mut connection, "raw_writes WHERE number > 100") == 1
    })
    .await;
    let writing: Vec<_> = (0..8)
        .map(|number| Writing::store(&path, &format!("w{number}"), 8))
        .collect();
    until("everybody has written", || {
        let counts = appended(&mut connection);
        counts.len() == 8 && counts.values().all(|count| *count >= 20)
    })
    .await;
    writing.into_iter().for_each(Writing::end);
    raw.end();
}

#[tokio::test]
async fn a_process_that_is_stopped_between_its_writes_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = store_of(&directory).await;
    let mut connection = connect_patiently(&path);
    let writing: Vec<_> = (0..4)
        .map(|number| Writing::store(&path, &format!("w{number}"), 2))
        .collect();
    until("everybody has written", || {
        appended(&mut connection).len() == 4
    })
    .await;
    let (stopped, _) = writing.split_first().unwrap();
    let mut stops = 0;
    while stops < 10 {
        stopped.stop().await;
        // One that was stopped inside its transaction has SQLite's lock, and that is another matter.
        let begun = {
            connection
                .batch_execute("PRAGMA busy_timeout = 200;")
                .unwrap();
            connection.batch_execute("BEGIN IMMEDIATE; ROLLBACK;")
        };
        if begun.is_ok() {
            stops += 1;
            let before = appended(&mut connection);
            until("the others have written", || {
                let now = appended(&mut connection);
                let went_on = |name: &String| now[name] >= before[name] + 20;
                before.keys().filter(|name| *name != "w0").all(went_on)
            })
            .await;
        }
        stopped.signal("-CONT");
    }
    writing.into_iter().for_each(Writing::end);
}
