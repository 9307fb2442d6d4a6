//! `run`: a command as an agent, and its life in the store.

mod entries;
mod life;
mod lines;
mod pump;
mod recorder;
mod signals;
mod structured;
mod supervise;

use std::path::Path;
use std::time::{Duration, Instant};

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentCommand, AgentInfo, Input, LocalProcessRunner, OpenMode, Output as Outlet, RunnerOptions,
    SqliteStateStore,
};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::arguments::{Common, RunArguments};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::verbs::open;
use life::{Ended, Life};
use lines::{Splitter, Stream};
use pump::{Pumped, Queue, pump};
use recorder::Recorder;
use signals::Signals;
use supervise::{Watch, drain, supervise};

/// Runs the command to its end; gives the exit code.
pub(crate) async fn run(
    common: &Common,
    wanted: &RunArguments,
    output: Output,
) -> Result<u8, Failure> {
    let life = Life::of(wanted)?;
    let mut signals = Signals::listen()?;
    let store = tokio::select! {
        biased;
        store = prepare(common, &life) => store.map_err(Failure::of_recording)?,
        caught = signals.next() => {
            let message = format!("{} before the command was started", caught.name);
            output.complain(&Failure::new(Kind::Other, message));
            return Ok(128 + caught.number);
        }
    };
    let started = Instant::now();
    // The grace is kept by the one who forwards the signal; a kill is then meant at once.
    let options = RunnerOptions::default()
        .max_agents(1)
        .kill_grace(Duration::ZERO);
    let runner = LocalProcessRunner::new(options)?;
    let mut recorder = Recorder::new(store.clone(), output, life.clone(), wanted.jsonl);
    let agent = match runner.spawn(command(wanted, &life)).await {
        Ok(agent) => agent,
        Err(error) => {
            let failure = Failure::from(error);
            recorder
                .end(&Ended::unstarted(failure.message.clone()))
                .await;
            close(&store, &recorder).await;
            return match recorder.tally.failure {
                Some(_) => Ok(Kind::Recording.code()),
                None => Err(failure),
            };
        }
    };
    let (ended, lines, mut recorder) =
        follow(&runner, &agent, wanted, signals, recorder, output).await?;
    let snapshot = recorder.end(&ended).await;
    let sessions = recorder.named_sessions();
    close(&store, &recorder).await;
    let summary = Summary {
        life,
        ended,
        lines,
        snapshot,
        sessions,
        tally: recorder.tally,
        took: started.elapsed(),
    };
    summary.show(output, &common.db);
    Ok(summary.code())
}

/// Opens the store, and makes the agent and its session.
async fn prepare(common: &Common, life: &Life) -> Result<SqliteStateStore, Failure> {
    let store = open(common, OpenMode::Create).await?;
    store.initialize().await?;
    let life = life.clone();
    store.transact(move |tx| life.begin(tx)).await?;
    Ok(store)
}

/// Records the command to its end, and to the end of its output.
async fn follow(
    runner: &LocalProcessRunner,
    agent: &AgentInfo,
    wanted: &RunArguments,
    signals: Signals,
    recorder: Recorder,
    output: Output,
) -> Result<(Ended, [Pumped; 2], Recorder), Failure> {
    let outlets = runner.take_output(&agent.id)?;
    let (queue, received) = Queue::new(wanted.line_limit);
    let (stop, stopped) = watch::channel(false);
    let limit = usize::try_from(wanted.line_limit).unwrap_or(usize::MAX);
    let stdout = tokio::spawn(pump(
        outlets.stdout,
        tokio::io::stdout(),
        Splitter::new(Stream::Stdout, limit),
        queue.clone(),
        stopped.clone(),
    ));
    let stderr = tokio::spawn(pump(
        outlets.stderr,
        tokio::io::stderr(),
        Splitter::new(Stream::Stderr, limit),
        queue,
        stopped,
    ));
    let pid = agent.pid;
    let handle = Handle::current();
    // Reading lines of many megabytes as JSON would hold a runtime's thread up.
    let recording =
        tokio::task::spawn_blocking(move || handle.block_on(recorder.record(pid, received)));

    let mut watch = Watch::new(signals, wanted.grace, output);
    let exit = supervise(runner, &agent.id, &mut watch).await?;
    let lines = drain(stdout, stderr, &stop, &mut watch).await?;
    let recorder = recording.await.map_err(broken)?;
    let ended = Ended::new(exit, watch.interrupted.map(|caught| caught.name));
    Ok((ended, lines, recorder))
}

/// A task of this program panicked.
fn broken(error: tokio::task::JoinError) -> Failure {
    Failure::new(Kind::Recording, format!("recording broke off: {error}"))
}

/// Moves the log into the file, so that one file holds the run; every write was on disk before.
async fn close(store: &SqliteStateStore, recorder: &Recorder) {
    // A store that failed may be locked still: closing would only wait for it once more.
    if recorder.tally.failure.is_none() {
        // Nothing is lost if it fails: whoever opens the file next moves the log.
        let _ = store.close().await;
    }
}

fn command(wanted: &RunArguments, life: &Life) -> AgentCommand {
    let mut words = wanted.command.iter();
    AgentCommand::new(words.next().cloned().unwrap_or_default())
        .args(words.cloned())
        .name(&life.agent_id)
        .model_backend(&wanted.backend)
        .stdin(Input::Inherit)
        .output(Outlet::Piped)
}

impl Life {
    fn of(wanted: &RunArguments) -> Result<Self, Failure> {
        let command: Vec<String> = wanted
            .command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let program = wanted.command.first().map(Path::new);
        let file_name = program.and_then(Path::file_name).unwrap_or_default();
        let agent_id = match &wanted.name {
            Some(name) => name.clone(),
            None => file_name.to_string_lossy().into_owned(),
        };
        if agent_id.is_empty() {
            let message = "the command has no file name to name the agent after: use --name";
            return Err(Failure::new(Kind::Usage, message));
        }
        Ok(Self {
            agent_id,
            session_id: Uuid::now_v7().to_string(),
            backend: wanted.backend.clone(),
            command,
        })
    }
}

/// What the end of a run says.
struct Summary {
    life: Life,
    ended: Ended,
    lines: [Pumped; 2],
    snapshot: Option<String>,
    sessions: usize,
    tally: recorder::Tally,
    took: Duration,
}

impl Summary {
    fn code(&self) -> u8 {
        match self.tally.failure {
            Some(_) => Kind::Recording.code(),
            None => self.ended.code(),
        }
    }

    fn show(&self, output: Output, database: &Path) {
        let Self {
            life, ended, tally, ..
        } = self;
        let [stdout, stderr] = &self.lines;
        if output.is_json() {
            return output.aside(&json!({ "run": {
                "agent_id": life.agent_id,
                "session_id": life.session_id,
                "snapshot_id": self.snapshot,
                "status": ended.status.as_str(),
                "reason": ended.reason,
                "exit_code": ended.exit_code,
                "signal": ended.signal,
                "stdout_lines": stdout.lines,
                "stderr_lines": stderr.lines,
                "events": tally.events,
                "transitions": tally.transitions,
                "named_sessions": self.sessions,
                "lost_events": tally.lost,
                "failure": tally.failure,
                "stdout_trouble": stdout.trouble,
                "stderr_trouble": stderr.trouble,
                "seconds": self.took.as_secs_f64(),
                "database": database.to_string_lossy(),
            }}));
        }
        let named = match self.sessions {
            0 => String::new(),
            1 => " and 1 that its lines named".to_owned(),
            many => format!(" and {many} that its lines named"),
        };
        output.note(&format!(
            "agent {:?} {} ({}) after {:.1} s; {} events of {} lines in session {}{named}",
            life.agent_id,
            ended.status,
            ended.reason,
            self.took.as_secs_f64(),
            tally.events,
            stdout.lines + stderr.lines,
            life.session_id,
        ));
        if let Some(failure) = &tally.failure {
            output.note(&format!(
                "{} events were NOT recorded: {failure}",
                tally.lost
            ));
        }
    }
}
