//! A command as an agent, and its life in the store.
//!
//! The agent is made and its session opened before the command starts. Each line of its output is passed through byte for
//! byte, as it comes or once it is kept, and becomes an event; events commit in batches. At the end stand the last
//! transition, a snapshot, and the end of every session.

mod backlog;
mod batches;
mod interim;
mod leftover;
mod life;
mod outlet;
mod pump;
mod queue;
mod report;
mod signals;
mod source;
mod started;
mod supervise;
mod trouble;
mod witness;
mod write;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use descartes_state::runner::Reach;
use descartes_state::{AnyStateStore, Limits, LocalProcessRunner, RunnerOptions, new_id};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

pub use report::{Notice, RecordError, Report, StreamReport, whole_text};
#[cfg(unix)]
pub(crate) use signals::HEARD;
pub use signals::{Caught, Signals};

use crate::entries::EntryReader;
use crate::lines::{Splitter, Stream};
use crate::liveness::ProofOfLife;
use batches::{Patience, Recorder};
use life::{Ended, Life};
use outlet::Manner;
use pump::{Pumped, pump};
use queue::Queue;
use started::{Started, reach, start};
use supervise::{Stop, Watch, drain, supervise};

/// Who hears what a run tells at once.
pub type Notify = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Which command, and how it is recorded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    agent_id: String,
    command: Vec<OsString>,
    backend: String,
    is_jsonl: bool,
    source: Option<String>,
    keep_recording: bool,
    is_strict: bool,
    has_terminal: bool,
    line_limit: u32,
    grace: Duration,
    buffer: usize,
    patience: Duration,
    linger: Option<Duration>,
    helper: Option<PathBuf>,
}

impl RunOptions {
    /// Describes a command and its arguments, as this agent.
    #[must_use]
    pub fn new(agent_id: impl Into<String>, command: Vec<OsString>) -> Self {
        Self {
            agent_id: agent_id.into(),
            command,
            backend: "local".to_owned(),
            is_jsonl: false,
            source: None,
            keep_recording: false,
            is_strict: false,
            has_terminal: false,
            line_limit: u32::try_from(Limits::default().max_content_bytes()).unwrap_or(u32::MAX),
            grace: Duration::from_secs(5),
            buffer: 64 * 1024 * 1024,
            patience: Duration::from_secs(30),
            linger: Some(Duration::from_secs(10)),
            helper: None,
        }
    }

    /// Sets what the agent thinks with (`local`).
    #[must_use]
    pub fn backend(mut self, backend: impl Into<String>) -> Self {
        self.backend = backend.into();
        self
    }

    /// Sets whether lines that are JSON objects make events, states and sessions themselves (no).
    #[must_use]
    pub fn jsonl(mut self, is_jsonl: bool) -> Self {
        self.is_jsonl = is_jsonl;
        self
    }

    /// Names the input, so that the same lines add nothing when they come a second time (no name: each line is new). They are
    /// known by name, stream, number and content; those with an `id` of their own are known by that, with and without a name.
    #[must_use]
    pub fn source(mut self, name: Option<String>) -> Self {
        self.source = name;
        self
    }

    /// Sets whether recording goes on where the reader of this program's output goes away (no: the command's pipe is closed
    /// then, as it would be without the recorder).
    #[must_use]
    pub fn keep_recording(mut self, goes_on: bool) -> Self {
        self.keep_recording = goes_on;
        self
    }

    /// Sets whether a line is passed on only once the store has it (no: as its bytes come, so that a run that is killed may have
    /// passed on what is in no store). What has come of a line that isn't over goes on when it is kept as an interim event; what
    /// may become an object, where lines are read as such, when it is whole. The command waits while the store fails, and what
    /// is lost is not passed on.
    #[must_use]
    pub fn strict(mut self, is_strict: bool) -> Self {
        self.is_strict = is_strict;
        self
    }

    /// Sets whether the command gets a terminal of its own (no; Unix, and with a [helper](Self::helper)). Its standard streams
    /// are that terminal then: what it prints on both is one stream, which this program writes to its own standard output.
    #[must_use]
    pub fn terminal(mut self, has_terminal: bool) -> Self {
        self.has_terminal = has_terminal;
        self
    }

    /// Sets the bytes of a line above which it becomes several events (64 MiB).
    #[must_use]
    pub fn line_limit(mut self, bytes: u32) -> Self {
        self.line_limit = bytes;
        self
    }

    /// Sets the bytes of lines that are kept in memory while the store can't be written (64 MiB). Lines above that are lost,
    /// and counted. A line counts for its own bytes and 1 KiB.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// Sets how long the store is tried after the command's end, where it can't be written (30 s).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how long output is taken after the command's exit, which others that it started may hold open (10 s; `None` for
    /// as long as they do).
    #[must_use]
    pub fn linger(mut self, linger: Option<Duration>) -> Self {
        self.linger = linger;
        self
    }

    /// Sets the program that plays the roles of [`helper`](crate::helper): this one. It takes over what others hold open when
    /// recording ends, so that it is no broken pipe to them; without it the pipe is closed.
    #[must_use]
    pub fn helper(mut self, program: Option<PathBuf>) -> Self {
        self.helper = program;
        self
    }

    /// Sets how long the command, and what it has started, may go on after a signal (5 s).
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// A run whose agent and session are made; nothing is started yet.
#[derive(Debug)]
pub struct Run {
    store: AnyStateStore,
    options: RunOptions,
    life: Life,
    proof: ProofOfLife,
    reach: Reach,
}

impl Run {
    /// Makes the agent and opens the run's session in an initialized store.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(
        store: impl Into<AnyStateStore>,
        options: RunOptions,
    ) -> Result<Self, descartes_state::StateStoreError> {
        let store = store.into();
        let words = options.command.iter();
        let reach = reach(&options);
        let life = Life {
            reach,
            agent_id: options.agent_id.clone(),
            session_id: new_id().to_string(),
            backend: options.backend.clone(),
            command: words
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        };
        // Before its session can be seen.
        let proof = ProofOfLife::begin(store.path(), &life.session_id);
        let begun = life.clone();
        if let Err(error) = store.transact(move |tx| begun.begin(tx)).await {
            proof.end();
            return Err(error);
        }
        Ok(Self {
            store,
            options,
            life,
            proof,
            reach,
        })
    }

    /// Runs the command to its end, and records it. `signals` are passed on to the command.
    ///
    /// Standard output and standard error are passed through to this program's own.
    ///
    /// # Cancellation
    /// Dropping the future kills the command, and leaves its session open.
    ///
    /// # Errors
    /// `NotStarted` where there is no such command or it can't be executed; `NotWatched`, `Broken`.
    pub async fn record(self, signals: Signals, notify: Notify) -> Result<Report, RecordError> {
        let Self {
            store,
            options,
            life,
            proof,
            reach,
        } = self;
        let began = Instant::now();
        let limits = RunnerOptions::default()
            .max_agents(1)
            .adopt_orphans(true)
            .kill_grace(options.grace);
        let runner = LocalProcessRunner::new(limits).map_err(RecordError::NotWatched)?;
        let reader = EntryReader::new(
            &life.agent_id,
            &life.session_id,
            options.is_jsonl,
            store.limits(),
        )
        .source(options.source.clone());
        let mut recorder = Recorder::new(
            store,
            Arc::clone(&notify),
            life.clone(),
            reader,
            Patience {
                buffer: options.buffer,
                after_end: options.patience,
                is_strict: options.is_strict,
            },
        );
        let mut started = match start(&runner, &options, reach).await {
            Ok(started) => started,
            Err(error) => {
                recorder.end(&Ended::unstarted(whole_text(&error))).await;
                if recorder.tally.is_end_recorded {
                    proof.end();
                }
                recorder.close().await;
                return Err(RecordError::NotStarted {
                    error,
                    is_recorded: recorder.tally.is_end_recorded,
                });
            }
        };
        let mut watch = Watch::new(signals, Arc::clone(&notify));
        let (ended, streams, held_by, mut recorder) = follow(
            &runner,
            &mut started,
            &options,
            &mut watch,
            recorder,
            Arc::clone(&notify),
        )
        .await?;
        let survivors = runner
            .info(&started.id)
            .map_or_else(|_| Vec::new(), |agent| agent.survivors);
        // What is said from here on is said on a terminal as it was.
        drop(started);
        let mut streams = streams.into_iter();
        let (stdout, stderr) = (streams.next(), streams.next());
        if !survivors.is_empty() {
            notify(&Notice::Survived {
                names: survivors.clone(),
            });
        }
        let snapshot_id = watch.unless_interrupted(recorder.end(&ended)).await?;
        if recorder.tally.is_end_recorded {
            proof.end();
        }
        let named_sessions = recorder.named_sessions();
        let unstructured = recorder.unstructured().clone();
        recorder.close().await;
        let tally = recorder.tally;
        Ok(Report {
            agent_id: life.agent_id,
            session_id: life.session_id,
            status: ended.status,
            reason: ended.reason,
            exit_code: ended.exit_code,
            signal: ended.signal,
            key_signal: ended.key_signal,
            stdout: stdout.map_or_else(StreamReport::default, StreamReport::from),
            stderr: stderr.map_or_else(StreamReport::default, StreamReport::from),
            snapshot_id,
            named_sessions,
            unstructured,
            held_by,
            survivors,
            events: tally.events,
            late_events: tally.late,
            is_end_recorded: tally.is_end_recorded,
            transitions: tally.transitions,
            lost_events: tally.lost,
            failure: tally.failure,
            took: began.elapsed(),
        })
    }
}

/// Records the command to its end, and to the end of its output.
async fn follow(
    runner: &LocalProcessRunner,
    started: &mut Started,
    options: &RunOptions,
    watch: &mut Watch,
    recorder: Recorder,
    notify: Notify,
) -> Result<(Ended, Vec<Pumped>, Vec<String>, Recorder), RecordError> {
    let (queue, received) = Queue::new();
    let (stop, stopped) = watch::channel(Stop::Nothing);
    let manner = Manner {
        goes_on_unheard: options.keep_recording,
        shows_json: !options.is_jsonl,
        is_strict: options.is_strict,
    };
    let splitter = |stream| {
        let limit = usize::try_from(options.line_limit).unwrap_or(usize::MAX);
        // As hexadecimal digits, with what stands beside them, such bytes must fit into an event's metadata.
        Splitter::new(stream, limit)
            .raw_limit(recorder.limits().max_metadata_bytes() / 4)
            .raw_nul(!recorder.limits().keeps_nul())
            // Each byte is passed on by its line, or may be an object's.
            .keep_frames(options.is_strict || options.is_jsonl)
    };
    let mut pumps = Vec::new();
    for (stream, source) in started.sources.drain(..) {
        let (splitter, queue, stopped) = (splitter(stream), queue.clone(), stopped.clone());
        pumps.push((
            stream,
            tokio::spawn(async move {
                match stream {
                    Stream::Stderr => {
                        let to = tokio::io::stderr();
                        pump(source, to, splitter, queue, manner, stopped).await
                    }
                    Stream::Stdout | Stream::Terminal | Stream::Screen => {
                        let to = tokio::io::stdout();
                        pump(source, to, splitter, queue, manner, stopped).await
                    }
                }
            }),
        ));
    }
    // The recorder is at its end when no pump holds the queue.
    drop(queue);
    let pid = started.pid;
    let handle = Handle::current();
    // Reading lines of many megabytes as JSON would hold a runtime's thread up.
    let (exit, exited) = oneshot::channel();
    let recording = tokio::task::spawn_blocking(move || {
        handle.block_on(recorder.record(pid, received, exited))
    });

    let end = supervise(runner, started, watch).await?;
    // A signal from here on isn't the command's end.
    let asked = watch.interrupted.map(|caught| caught.name);
    let typed = started.terminal.typed_end(end);
    let key = watch.interrupted.filter(|caught| caught.is_from_terminal);
    let key = key.map(|caught| i32::from(caught.number));
    let ended =
        Ended::new(end, asked.or(typed)).by_key(key.or(end.signal.filter(|_| typed.is_some())));
    // The recorder goes only where it has panicked.
    let _told = exit.send(ended.clone());
    let terminal = started.terminal.end_typing();
    // Who ends the command wants its end, and not what it has left to say.
    let linger = match watch.is_ending() {
        true => Some(Duration::ZERO),
        false => options.linger,
    };
    let (streams, left) = drain(pumps, &stop, watch, linger).await?;
    let held_by = leftover::leave(left, terminal.as_deref(), options.helper.as_deref());
    if !held_by.is_empty() {
        notify(&Notice::HeldOpen {
            by: held_by.clone(),
        });
    }
    let recorder = watch.unless_interrupted(recording).await?;
    let recorder = recorder.map_err(RecordError::Broken)?;
    Ok((ended, streams, held_by, recorder))
}

impl From<Pumped> for StreamReport {
    fn from(pumped: Pumped) -> Self {
        Self {
            lines: pumped.lines,
            ends_with_line: pumped.ends_with_line,
            trouble: pumped.trouble,
        }
    }
}
