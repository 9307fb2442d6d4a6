//! A directory for one test, and the program in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use descartes_state::serde_json::{self, Value};
use descartes_state::{SqliteStateStore, StoreOptions};
use descartes_state_testing::PostgresSchema;
use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes with the test; the program runs in it, on a file there or on a server.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    schema: Option<PostgresSchema>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The one document on standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// The one error on standard error.
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        serde_json::from_str::<Value>(&self.stderr).unwrap()["error"].take()
    }

    /// What `run --json` says at its end.
    pub(crate) fn summary(&self) -> Value {
        let last = self.stderr.lines().last().unwrap();
        serde_json::from_str::<Value>(last).unwrap()["run"].take()
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    fn of(directory: tempfile::TempDir) -> Self {
        Self {
            directory,
            schema: None,
        }
    }

    /// With a schema of its own on the server; `None` where there is no server.
    pub(crate) fn on_a_server() -> Option<Self> {
        let schema = PostgresSchema::new()?;
        Some(Self {
            schema: Some(schema),
            ..Self::new()
        })
    }

    /// The schema on the server.
    pub(crate) fn schema(&self) -> &PostgresSchema {
        self.schema.as_ref().unwrap()
    }

    /// In this directory.
    pub(crate) fn below(directory: &Path) -> Self {
        Self::of(tempfile::tempdir_in(directory).unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the program keeps its store unless told otherwise.
    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data/agent_state.db")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    pub(crate) fn prepare(&self, command: &mut Command) {
        command.current_dir(self.path()).stdin(Stdio::null());
        for name in [
            "DESCARTES_STATE_DB",
            "DESCARTES_STATE_PREFIX",
            "RUST_LOG",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
        ] {
            command.env_remove(name);
        }
        if let Some(schema) = &self.schema {
            command.env("DESCARTES_STATE_DB", schema.url());
        }
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(&mut self.command(arguments))
    }

    /// Returns the JSON that the program writes; it must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).json()
    }

    /// The items of one page, the oldest first.
    pub(crate) fn items(&self, arguments: &[&str]) -> Vec<Value> {
        let options = ["--limit", "10000", "--oldest-first"];
        let page = self.json(&[arguments, &options].concat());
        assert_eq!(page["next"], Value::Null);
        page["items"].as_array().unwrap().clone()
    }

    /// The only session there is.
    pub(crate) fn session(&self) -> Value {
        let sessions = self.items(&["sessions", "list"]);
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions[0].clone()
    }

    /// The events of the only session.
    pub(crate) fn events(&self) -> Vec<Value> {
        let session = self.session();
        self.items(&["events", session["id"].as_str().unwrap()])
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::new(&mut self.command(arguments))
    }

    /// The store itself, for what the program has no verb for.
    pub(crate) fn store<T>(
        &self,
        work: impl AsyncFnOnce(&SqliteStateStore) -> Result<T, descartes_state::StateStoreError>,
    ) -> T {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let options = StoreOptions::default();
            let store = SqliteStateStore::open(self.database(), options).await;
            let store = store.unwrap();
            store.initialize().await.unwrap();
            let result = work(&store).await.unwrap();
            store.close().await.unwrap();
            result
        })
    }
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_descartes-state");

/// Runs a command to its end, with all that it wrote.
pub(crate) fn finish(command: &mut Command) -> Done {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = pid(&child);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("{command:?} did not end");
    };
    let output = output.unwrap();
    Done {
        code: code(output.status),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn code(status: ExitStatus) -> i32 {
    // A program that died of a signal has no code, and no test expects that of ours.
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or(1))
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

/// A program under way. Its streams are read as they come, so that it never waits for the test.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<mpsc::Receiver<Vec<u8>>>,
    stderr: mpsc::Receiver<Vec<u8>>,
    seen: Vec<u8>,
    heard: Vec<u8>,
}

impl Running {
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(chunks),
            stderr: chunks(child.stderr.take().unwrap()),
            child,
            seen: Vec::new(),
            heard: Vec::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until this is all that came on standard output.
    pub(crate) fn wait_for_stdout(&mut self, text: &str) {
        self.wait_for_bytes(text.as_bytes());
    }

    /// Waits until these are all the bytes that came on standard output.
    pub(crate) fn wait_for_bytes(&mut self, bytes: &[u8]) {
        let stdout = self.stdout.as_ref().unwrap();
        collect(stdout, &mut self.seen, |seen| seen == bytes);
    }

    /// Waits until a line came on standard output.
    pub(crate) fn wait_for_line(&mut self) {
        let stdout = self.stdout.as_ref().unwrap();
        collect(stdout, &mut self.seen, |seen| seen.contains(&b'\n'));
    }

    /// Returns what is there on standard output now, of what came in the meantime too.
    pub(crate) fn seen(&mut self) -> &[u8] {
        let stdout = self.stdout.as_ref().unwrap();
        self.seen.extend(stdout.try_iter().flatten());
        &self.seen
    }

    /// Waits until standard output ends with this.
    pub(crate) fn wait_for_end_of_stdout(&mut self, text: &str) {
        let stdout = self.stdout.as_ref().unwrap();
        collect(stdout, &mut self.seen, |seen| {
            seen.ends_with(text.as_bytes())
        });
    }

    /// Waits until standard output holds this.
    pub(crate) fn wait_for_stdout_to_hold(&mut self, text: &str) {
        let stdout = self.stdout.as_ref().unwrap();
        let holds = |seen: &[u8]| String::from_utf8_lossy(seen).contains(text);
        collect(stdout, &mut self.seen, holds);
    }

    /// Waits until standard error holds this.
    pub(crate) fn wait_for_stderr(&mut self, text: &str) {
        let holds = |heard: &[u8]| String::from_utf8_lossy(heard).contains(text);
        collect(&self.stderr, &mut self.heard, holds);
    }

    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn done(mut self) -> Done {
        drop(self.stdin.take());
        let end = |bytes: &mut Vec<u8>, chunks: &mpsc::Receiver<Vec<u8>>| {
            let deadline = Instant::now() + PATIENCE;
            loop {
                match chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(chunk) => bytes.extend(chunk),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program did not end"),
                }
            }
        };
        if let Some(stdout) = self.stdout.take() {
            end(&mut self.seen, &stdout);
        }
        end(&mut self.heard, &self.stderr);
        Done {
            code: code(self.child.wait().unwrap()),
            stdout: std::mem::take(&mut self.seen),
            stderr: String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The program in a terminal by `script` of util-linux; `None` where that is missing.
pub(crate) fn in_a_terminal(place: &Place, arguments: &str) -> Option<Running> {
    in_a_terminal_with(place, &format!("run {arguments}"))
}

/// As [`in_a_terminal`], with any verb.
pub(crate) fn in_a_terminal_with(place: &Place, arguments: &str) -> Option<Running> {
    // Not every shell that `script` runs becomes its last command by itself, and one that waits for it ends of our ctrl-c.
    shell_in_a_terminal(place, &format!("exec {PROGRAM} {arguments}"))
}

/// A line of shell in a terminal.
pub(crate) fn shell_in_a_terminal(place: &Place, line: &str) -> Option<Running> {
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]);
    place.prepare(&mut command);
    Command::new("script").arg("--version").output().ok()?;
    Some(Running::new(&mut command))
}

/// Whether there is a process of this number that has not ended.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Ends a process that a test has left.
pub(crate) fn end(pid: &str) {
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// A program whose standard output nobody reads: the reading end is closed before it writes.
pub(crate) fn start_unheard(command: &mut Command) -> (Child, ChildStdin) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop::<Option<ChildStdout>>(child.stdout.take());
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

fn chunks(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = from.read(&mut buffer) {
            if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn collect(
    chunks: &mpsc::Receiver<Vec<u8>>,
    bytes: &mut Vec<u8>,
    is_enough: impl Fn(&[u8]) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !is_enough(bytes) {
        let left = deadline.saturating_duration_since(Instant::now());
        match chunks.recv_timeout(left) {
            Ok(chunk) => bytes.extend(chunk),
            Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

/// Asks again and again until the answer is there.
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never happened");
        thread::yield_now();
    }
}

/// The lines of a file.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let lines: Result<_, _> = BufReader::new(bytes.as_slice()).lines().collect();
    lines.unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} in {value}"))
}
