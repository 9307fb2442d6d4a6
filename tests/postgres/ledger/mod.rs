//! A ledger under fire: processes write while their connections are cut, they are killed, and so is the server.

mod check;
mod entries;
mod writer;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use descartes_state::StoreOptions;
use descartes_state::diesel::PgConnection;
use descartes_state::diesel::connection::SimpleConnection;
use descartes_state_testing::{Chance, DEADLINE, PostgresSchema, repository};
use tempfile::TempDir;

use check::{Counts, check};
use entries::Ledger;

const PROCESSES: usize = 8;
/// The longest time that a round lets them write before it does something to them.
const MOMENT: u64 = 200;
/// How long a condition that is waited for isn't looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// `DESCARTES_STATE_POSTGRES_DIRECTORY` is the one that `.ci/postgres` has started the server in; `DESCARTES_STATE_ROUNDS` is how often
/// it is killed (20). `DESCARTES_STATE_SEED` repeats a run's choices; the seed is printed.
#[tokio::test]
#[ignore = "it restarts the server, so it runs alone"]
async fn what_eight_processes_are_told_is_true_though_backends_and_they_and_the_server_are_killed()
{
    let (Some(schema), Ok(server)) = (
        PostgresSchema::new(),
        std::env::var("DESCARTES_STATE_POSTGRES_DIRECTORY"),
    ) else {
        return;
    };
    let rounds = std::env::var("DESCARTES_STATE_ROUNDS");
    let rounds: u64 = rounds.map_or(20, |rounds| rounds.parse().unwrap());
    let seed = Chance::seed("DESCARTES_STATE_SEED");
    println!("DESCARTES_STATE_SEED={seed}");
    drop(schema.open(StoreOptions::default()).await);
    let started = Instant::now();
    let mut fire = Fire::new(schema, seed);
    for round in 0..rounds {
        fire.round(&server, round).await;
    }
    let (counts, kept) = fire.end().await;
    let seconds = started.elapsed().as_secs();
    println!(
        "{rounds} rounds in {seconds} s, {} connections cut, {} processes killed: {counts:?}, {kept} of the unknown and untold kept",
        fire.cut,
        fire.killed.len()
    );
    assert!(counts.acknowledged as u64 > rounds * PROCESSES as u64);
    // A server that is away says so; nothing else goes wrong.
    let kinds: Vec<_> = counts.failed.keys().map(String::as_str).collect();
    let is_expected = |kind: &&str| ["connection_lost", "timeout"].contains(kind);
    assert!(kinds.iter().all(is_expected), "{kinds:?}");
}

/// A process, and what it was told.
struct Process {
    name: String,
    running: Running,
    ledger: Ledger,
}

/// Whatever becomes of the test, no process is left.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _over = self.0.kill();
        let _over = self.0.wait();
    }
}

impl Process {
    fn start(schema: &PostgresSchema, directory: &Path, place: usize, generation: u64) -> Self {
        let name = format!("{place}.{generation}");
        let path = directory.join(&name);
        let ledger = Ledger::new(&path);
        // Half of them give up soon, and are told of more failures; the others wait for the server.
        let patience = if place.is_multiple_of(2) { 30_000 } else { 100 };
        let child = writer::start(
            &schema.url(),
            &name,
            &path,
            &path.with_extension("log"),
            Duration::from_millis(patience),
        );
        Self {
            name,
            running: Running(child),
            ledger,
        }
    }
}

struct Fire {
    processes: Vec<Process>,
    /// The ledgers of processes that were killed.
    killed: Vec<Ledger>,
    cut: i64,
    chance: Chance,
    directory: TempDir,
    schema: PostgresSchema,
}

impl Fire {
    fn new(schema: PostgresSchema, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = |place| Process::start(&schema, directory.path(), place, 0);
        Self {
            processes: (0..PROCESSES).map(start).collect(),
            killed: Vec::new(),
            cut: 0,
            chance: Chance::new(seed),
            directory,
            schema,
        }
    }

    async fn round(&mut self, server: &str, round: u64) {
        self.until_all_are_back().await;
        self.chance.moment(MOMENT);
        let mut other = self.schema.connect();
        for _ in 0..self.chance.below(4) {
            self.cut += self.schema.cut_some(&mut other, self.chance.below(100));
            self.chance.moment(MOMENT);
        }
        if self.chance.below(2) == 0 {
            self.hold_answers(&mut other).await;
            self.cut += self.schema.cut_some(&mut other, 30);
        }
        drop(other);
        // One of them in every third round, before the server or after it.
        let is_killed = round.is_multiple_of(3);
        let is_first = self.chance.below(2) == 0;
        if is_killed && is_first {
            self.replace(round);
        }
        let script = repository().join(".ci/postgres");
        let restart = Command::new(script).args(["restart", server]).status();
        assert!(restart.unwrap().success());
        if is_killed && !is_first {
            self.replace(round);
        }
        for process in &mut self.processes {
            process.ledger.await_another();
        }
        self.until_all_are_back().await;
        self.check(false);
    }

    /// Has the server commit, and wait with its answers for a standby that there isn't, until it is killed: what was committed
    /// and not answered is rare otherwise. Returns once it does.
    async fn hold_answers(&self, other: &mut PgConnection) {
        for statement in [
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
            "SELECT pg_reload_conf()",
        ] {
            other.batch_execute(statement).unwrap();
        }
        let started = Instant::now();
        while self.schema.waiting(other, "SyncRep") == 0 {
            assert!(started.elapsed() < DEADLINE, "it goes on answering");
            tokio::time::sleep(PAUSE).await;
        }
        // For the next start: until then nobody reads it.
        let reset = "ALTER SYSTEM RESET synchronous_standby_names";
        other.batch_execute(reset).unwrap();
    }

    /// Kills a process, and starts another in its place.
    fn replace(&mut self, round: u64) {
        let place = self.chance.below(PROCESSES as u64);
        let place = usize::try_from(place).unwrap();
        let new = Process::start(&self.schema, self.directory.path(), place, round + 1);
        let old = std::mem::replace(&mut self.processes[place], new);
        drop(old.running);
        self.no_panic(&old.name);
        self.killed.push(old.ledger);
    }

    /// Waits until every process has begun a write since it was last looked at, and heard that it was kept.
    async fn until_all_are_back(&mut self) {
        let started = Instant::now();
        for index in 0..PROCESSES {
            while !self.processes[index].ledger.is_back() {
                let has_ended = self.processes[index].running.0.try_wait().unwrap();
                let is_in_time = has_ended.is_none() && started.elapsed() < DEADLINE;
                assert!(is_in_time, "{has_ended:?}: {}", self.log(index));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// As [`check()`].
    fn check(&mut self, is_whole: bool) -> usize {
        let live = self.processes.iter_mut().map(|process| &mut process.ledger);
        let mut ledgers: Vec<_> = live.chain(&mut self.killed).collect();
        check(&mut ledgers, &mut self.schema.connect(), is_whole)
    }

    /// Lets them finish what they have begun, and checks all that was ever told; returns what there is, and what [`check()`] does.
    async fn end(&mut self) -> (Counts, usize) {
        for process in &mut self.processes {
            drop(process.running.0.stdin.take());
        }
        let started = Instant::now();
        for index in 0..PROCESSES {
            let status = loop {
                match self.processes[index].running.0.try_wait().unwrap() {
                    Some(status) => break status,
                    None => tokio::time::sleep(PAUSE).await,
                }
                assert!(started.elapsed() < DEADLINE, "it hangs");
            };
            assert!(status.success(), "{}", self.log(index));
            self.no_panic(&self.processes[index].name);
        }
        let kept = self.check(true);
        let live = self.processes.iter().map(|process| &process.ledger);
        assert_eq!(Counts::of(live.clone()).untold, 0);
        (Counts::of(live.chain(&self.killed)), kept)
    }

    /// What a process has said.
    fn log(&self, index: usize) -> String {
        let path = self.directory.path().join(&self.processes[index].name);
        std::fs::read_to_string(path.with_extension("log")).unwrap()
    }

    /// A panic that the store or the runtime has caught is in the log all the same.
    fn no_panic(&self, name: &str) {
        let path = self.directory.path().join(name).with_extension("log");
        let log = std::fs::read_to_string(path).unwrap();
        assert!(!log.contains("panicked at"), "{name}: {log}");
    }
}
