//! The command's end, and what signals to this program do to it.

use std::time::Duration;

use descartes_state::uuid::Uuid;
use descartes_state::{AgentExit, AgentSignal, LocalProcessRunner};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::Notify;
use super::pump::Pumped;
use super::report::{Notice, RecordError};
use super::signals::{Caught, Signals, stop_self};
use crate::lines::Stream;

/// Signals to this program, and how long the command has after the first.
pub(super) struct Watch {
    signals: Signals,
    grace: Duration,
    notify: Notify,
    /// The first signal.
    pub(super) interrupted: Option<Caught>,
    deadline: Option<Instant>,
}

impl Watch {
    pub(super) fn new(signals: Signals, grace: Duration, notify: Notify) -> Self {
        Self {
            signals,
            grace,
            notify,
            interrupted: None,
            deadline: None,
        }
    }

    /// Waits for a signal, or for the end of the grace after one: returns the signal, or `None` when patience ends. A further
    /// signal ends the grace too.
    async fn next(&mut self) -> Option<Caught> {
        let deadline = self.deadline;
        let patience = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let caught = tokio::select! {
            caught = self.signals.next() => caught,
            () = patience => return None,
        };
        if !caught.asks_to_end() {
            return Some(caught);
        }
        if self.deadline.is_some() {
            return None;
        }
        // A person's first ctrl-c is between them and the command: it may mean something else than the end there.
        let is_first = self.interrupted.is_none();
        let is_patient =
            caught.is_from_terminal && is_first || matches!(caught.signal, AgentSignal::Quit);
        if !is_patient {
            self.deadline = Some(Instant::now() + self.grace);
        }
        self.interrupted.get_or_insert(caught);
        Some(caught)
    }

    /// Waits for something while signals are heard: the second that asks to end ends the waiting.
    ///
    /// # Errors
    /// `Interrupted`.
    pub(super) async fn unless_interrupted<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, RecordError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                caught = self.signals.next() => {
                    if !caught.asks_to_end() {
                        continue;
                    }
                    if self.interrupted.is_some() {
                        return Err(RecordError::Interrupted(caught));
                    }
                    self.interrupted = Some(caught);
                }
            }
        }
    }
}

/// Waits for the command's end. A signal is passed on; what doesn't end within the grace, or before a second signal, is
/// killed.
pub(super) async fn supervise(
    runner: &LocalProcessRunner,
    id: &Uuid,
    watch: &mut Watch,
) -> Result<AgentExit, RecordError> {
    loop {
        let next = tokio::select! {
            biased;
            exit = runner.wait(id) => return exit.map_err(RecordError::NotWatched),
            next = watch.next() => next,
        };
        let Some(caught) = next else {
            match runner.kill(id).await {
                Ok(exit) => return Ok(exit),
                // It changed to another user: all that is left is to record it on.
                Err(error) => (watch.notify)(&Notice::NotSignalled(error)),
            }
            watch.deadline = None;
            continue;
        };
        let pass_on = |signal| {
            if let Err(error) = runner.signal(id, signal) {
                (watch.notify)(&Notice::NotSignalled(error));
            }
        };
        if !caught.is_from_terminal {
            pass_on(caught.signal);
        }
        if caught.signal == AgentSignal::Stop {
            // The shell sees us stopped, and gets its terminal back; `fg` wakes both.
            stop_self();
            pass_on(AgentSignal::Continue);
        }
    }
}

/// A pump on its way, and the end of a pipe that it may leave.
pub(super) type Pumping<R> = JoinHandle<(Pumped, Option<R>)>;

/// What is left of the command's output, and the pipes that others hold open.
pub(super) type Drained = ([Pumped; 2], Option<ChildStdout>, Option<ChildStderr>);

/// Waits for the end of the command's output, which others that it started may hold open: no longer than `linger`, and
/// after a signal no longer than the grace.
pub(super) async fn drain(
    stdout: Pumping<ChildStdout>,
    stderr: Pumping<ChildStderr>,
    stop: &watch::Sender<bool>,
    watch: &mut Watch,
    linger: Option<Duration>,
) -> Result<Drained, RecordError> {
    let mut both = std::pin::pin!(async { tokio::join!(stdout, stderr) });
    let lingered = async {
        match linger {
            Some(linger) => tokio::time::sleep(linger).await,
            None => std::future::pending().await,
        }
    };
    let mut lingered = std::pin::pin!(lingered);
    let (stdout, stderr) = loop {
        tokio::select! {
            biased;
            ended = &mut both => break ended,
            () = &mut lingered, if !*stop.borrow() => {
                stop.send_replace(true);
            }
            caught = watch.signals.next(), if !*stop.borrow() => {
                // The command is gone; there is nobody to pass a signal on to.
                if caught.asks_to_end() {
                    watch.interrupted.get_or_insert(caught);
                    stop.send_replace(true);
                }
            }
        }
    };
    let (stdout, stdout_left) = stdout.map_err(RecordError::Broken)?;
    let (stderr, stderr_left) = stderr.map_err(RecordError::Broken)?;
    let lines = [stdout, stderr];
    for (stream, pumped) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&lines) {
        if let Some(trouble) = &pumped.trouble {
            (watch.notify)(&Notice::StreamTrouble {
                stream,
                trouble: trouble.clone(),
            });
        }
    }
    Ok((lines, stdout_left, stderr_left))
}
