//! A store where nothing may be written. The reader is this test binary once more, as a user who owns nothing; where the
//! tests aren't root's, as the same user after the rights were taken away.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use descartes_state::error::ErrorKind;
use descartes_state::{AgentState, ChangeIf, OpenMode, SqliteStateStore, StoreOptions};
use descartes_state_testing::{agent, event};
use tempfile::TempDir;

const FILE: &str = "DESCARTES_STATE_TEST_READ_ONLY";
const NOBODY: u32 = 65_534;

/// A process that may read the directory, and write nothing in it.
struct Reader {
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    fn of(path: &Path) -> Self {
        // By this path anybody may start it, wherever the binary lies.
        let program = Path::new("/proc/self/exe");
        let program = if program.exists() {
            program.to_owned()
        } else {
            std::env::current_exe().unwrap()
        };
        let mut command = Command::new(program);
        if is_root(path) {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut child = command
            .args(["read_only::child_that_reads", "--exact", "--ignored"])
            .args(["--nocapture", "--test-threads=1"])
            .current_dir("/")
            .env(FILE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            questions: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    fn send(&mut self, question: &str) {
        writeln!(self.questions, "{question}").unwrap();
    }

    fn receive(&mut self) -> String {
        loop {
            let line = self.answers.next().unwrap().unwrap();
            if let Some(answer) = line.strip_prefix("answer ") {
                return answer.to_owned();
            }
        }
    }

    fn ask(&mut self, question: &str) -> String {
        self.send(question);
        self.receive()
    }

    fn end(mut self) {
        drop(self.questions);
        assert!(self.child.wait().unwrap().success());
    }
}

fn is_root(path: &Path) -> bool {
    fs::metadata(path).unwrap().uid() == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the body of a child process"]
async fn child_that_reads() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    for question in std::io::stdin().lines() {
        let answer = answer(&store, &question.unwrap()).await;
        // The test harness has begun a line.
        println!("\nanswer {answer}");
    }
    store.close().await.unwrap();
}

async fn answer(store: &SqliteStateStore, question: &str) -> String {
    let told = match question {
        "initialize" => store.initialize().await.map(|()| "done".to_owned()),
        "is read-only" => Ok(store.is_read_only().to_string()),
        "get" => store
            .load_agent_state("one")
            .await
            .map(|state| state.map_or_else(|| "none".to_owned(), |state| state.name)),
        "list" => store.list_agents().await.map(|all| names(&all)),
        "closure" => {
            store
                .read(|tx| {
                    let both = ["one", "last"].map(|id| tx.agents().get(id));
                    let mut found = Vec::new();
                    for record in both {
                        found.extend(record?.map(|record| record.state));
                    }
                    Ok(names(&found))
                })
                .await
        }
        "search" => store
            .search_events("word")
            .await
            .map(|found| found.len().to_string()),
        "save" => store
            .save_agent_state(&agent("two"))
            .await
            .map(|()| "saved".to_owned()),
        "revert" => store
            .migrations()
            .revert()
            .await
            .map(|_| "reverted".to_owned()),
        other => Ok(format!("what is {other}?")),
    };
    told.unwrap_or_else(|error| format!("{}: {error}", error.kind()))
}

fn names(agents: &[AgentState]) -> String {
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    names.join(",")
}

fn named(id: &str, name: impl ToString) -> AgentState {
    AgentState {
        name: name.to_string(),
        ..agent(id)
    }
}

/// A directory that all may read.
fn public_directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("state.db");
    (directory, path)
}

/// A store with one agent and one event, in a file that all may read.
async fn public_store() -> (TempDir, PathBuf) {
    let (directory, path) = public_directory();
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    store.save_agent_state(&named("one", 0)).await.unwrap();
    store.save_event(&event("a word")).await.unwrap();
    store.close().await.unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    (directory, path)
}

/// Takes the rights away where the reader is the same user.
fn close_to_its_owner(path: &Path) {
    if !is_root(path) {
        fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o555)).unwrap();
    }
}

fn names_in(directory: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_store_where_nothing_may_be_written_is_read_and_refuses_every_write() {
    let (directory, path) = public_store().await;
    close_to_its_owner(&path);
    let before = (fs::read(&path).unwrap(), names_in(&directory));
    let mut reader = Reader::of(&path);
    assert_eq!(reader.ask("is read-only"), "true");
    assert_eq!(reader.ask("initialize"), "done");
    assert_eq!(reader.ask("get"), "0");
    assert_eq!(reader.ask("list"), "0");
    assert_eq!(reader.ask("closure"), "0");
    assert_eq!(reader.ask("search"), "1");
    for write in ["save", "revert"] {
        let refused = reader.ask(write);
        assert!(refused.starts_with("read_only: "), "{refused}");
        assert!(refused.contains("state.db"), "{refused}");
    }
    assert_eq!(reader.ask("get"), "0");
    reader.end();
    assert_eq!(
        (fs::read(&path).unwrap(), names_in(&directory)),
        before,
        "reading leaves everything as it was"
    );
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_store_that_may_be_written_is_not_read_only() {
    let store = SqliteStateStore::temporary().await.unwrap();
    assert!(!store.is_read_only());
}

#[tokio::test]
async fn what_its_owner_writes_is_seen_by_who_may_only_read() {
    let (_directory, path) = public_store().await;
    if !is_root(&path) {
        return; // The owner could not write either.
    }
    let mut reader = Reader::of(&path);
    assert_eq!(reader.ask("get"), "0");
    for round in 1..20 {
        let options = StoreOptions::default().mode(OpenMode::Existing);
        let store = SqliteStateStore::open(&path, options).await.unwrap();
        store.initialize().await.unwrap();
        for half in ["first", "second"] {
            let name = format!("{round} {half}");
            store.save_agent_state(&named("one", &name)).await.unwrap();
            assert_eq!(reader.ask("get"), name, "while the owner has it open");
            assert_eq!(reader.ask("list"), name, "while the owner has it open");
        }
        store.close().await.unwrap();
        assert_eq!(reader.ask("get"), format!("{round} second"), "afterwards");
    }
    reader.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_mixes_two_states_of_a_file_that_others_change() {
    let (_directory, path) = public_store().await;
    if !is_root(&path) {
        return; // The owner could not write either.
    }
    // Many pages between the two, so that a read takes a while.
    let pair = |number: u64| {
        let mut agents = vec![named("one", number), named("last", number)];
        agents[0].state_data = format!("{{\"text\":\"{}\"}}", "x".repeat(200_000));
        agents
    };
    let write = |numbers: std::ops::Range<u64>| {
        let path = path.clone();
        async move {
            for number in numbers {
                let options = StoreOptions::default().mode(OpenMode::Existing);
                let store = SqliteStateStore::open(&path, options).await.unwrap();
                store.initialize().await.unwrap();
                store
                    .transact(move |tx| {
                        // So that the rows change their places in the file.
                        tx.agents().purge("one", ChangeIf::Any)?;
                        pair(number)
                            .iter()
                            .try_for_each(|agent| tx.agents().save(agent).map(drop))
                    })
                    .await
                    .unwrap();
                store.close().await.unwrap();
            }
        }
    };
    write(0..1).await;
    let mut reader = Reader::of(&path);
    let writing = tokio::spawn(write(1..150));
    let mut seen = Vec::new();
    let mut is_over = false;
    while !is_over {
        is_over = writing.is_finished();
        for question in ["list", "closure"] {
            let answer = reader.ask(question);
            if answer.starts_with(ErrorKind::Busy.as_str()) {
                continue;
            }
            let (first, last) = answer
                .split_once(',')
                .unwrap_or_else(|| panic!("{question}: {answer}"));
            assert_eq!(first, last);
            seen.push(first.parse::<u64>().unwrap());
        }
    }
    writing.await.unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&149));
    reader.end();
}

#[tokio::test]
async fn a_log_that_cannot_be_read_there_is_named() {
    let (directory, path) = public_directory();
    let store = SqliteStateStore::new(&path, false).await.unwrap();
    store.initialize().await.unwrap();
    store.save_agent_state(&named("one", 0)).await.unwrap();
    let copies = directory.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copy = copies.join("state.db");
    for suffix in ["", "-wal"] {
        let [from, to] = [&path, &copy].map(|path| {
            let mut path = path.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        });
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, Permissions::from_mode(0o644)).unwrap();
    }
    close_to_its_owner(&copy);
    let mut reader = Reader::of(&copy);
    for question in ["initialize", "get"] {
        let error = reader.ask(question);
        assert!(error.starts_with("cannot_open: "), "{error}");
        assert!(error.contains("state.db-shm"), "{error}");
    }
    reader.end();
    fs::set_permissions(&copies, Permissions::from_mode(0o755)).unwrap();
    store.close().await.unwrap();
}
