//! The command's end, and what signals to this program do to it.

use std::collections::VecDeque;
use std::time::Duration;

use descartes_state::uuid::Uuid;
use descartes_state::{AgentExit, AgentSignal, LocalProcessRunner};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::Notify;
use super::pump::Pumped;
use super::report::{Notice, RecordError};
use super::signals::{Caught, Signals, asks_to_end, stop_self};
use super::source::Source;
use super::started::Started;
use crate::lines::Stream;

/// Signals that come so soon after another are the same request: whoever ends a process and then its group (timeout(1)) asks
/// twice, and so do a terminal that is closed and its shell.
const TOGETHER: Duration = Duration::from_millis(30);
/// A terminal that is closed hangs up, and then its shell does, within this time.
const HANGING_UP: Duration = Duration::from_secs(1);
/// How long the signal is waited for of which the command has ended. On a busy machine it comes late, and a shell goes on with its
/// loop where we don't end of it too.
const ITS_SIGNAL: Duration = Duration::from_millis(250);

/// Signals to this program, and what they have come to.
pub(super) struct Watch {
    signals: Signals,
    notify: Notify,
    /// One that asks to end, and until when others are taken for the same.
    gathering: Option<(Caught, Instant)>,
    /// Those that ask for something else.
    others: VecDeque<Caught>,
    /// The first signal that asked to end.
    pub(super) interrupted: Option<Caught>,
    /// Since when the command has been asked to end, and has its grace.
    ending_since: Option<Instant>,
}

impl Watch {
    pub(super) fn new(signals: Signals, notify: Notify) -> Self {
        Self {
            signals,
            notify,
            gathering: None,
            others: VecDeque::new(),
            interrupted: None,
            ending_since: None,
        }
    }

    /// Returns the next signal, and one for those that come together. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> Caught {
        loop {
            if let Some(other) = self.others.pop_front() {
                return other;
            }
            let Some((first, until)) = self.gathering else {
                let caught = self.signals.next().await;
                self.add(caught);
                continue;
            };
            tokio::select! {
                biased;
                caught = self.signals.next() => self.add(caught),
                () = sleep_until(until) => {
                    self.gathering = None;
                    return first;
                }
            }
        }
    }

    fn add(&mut self, caught: Caught) {
        if !caught.asks_to_end() {
            return self.others.push_back(caught);
        }
        match &mut self.gathering {
            Some((first, _)) if first.signal == caught.signal => {
                first.is_from_terminal |= caught.is_from_terminal;
            }
            Some(_) => {}
            None => self.gathering = Some((caught, Instant::now() + TOGETHER)),
        }
    }

    /// Takes note of the signal of which the command has ended, where it is on its way to us still.
    async fn note_end(&mut self, exit: AgentExit) {
        if self.interrupted.is_some() {
            return;
        }
        let patience = if exit.signal.is_some_and(asks_to_end) {
            ITS_SIGNAL
        } else {
            Duration::ZERO
        };
        if self.gathering.is_none()
            && let Ok(caught) = timeout(patience, self.signals.next()).await
        {
            self.add(caught);
        }
        if let Some((caught, _)) = self.gathering.take() {
            self.interrupted = Some(caught);
        }
    }

    /// Returns whether a signal is one more of the same hanging up, and no impatience.
    fn is_repeated(&self, caught: Caught) -> bool {
        let is_hangup = |caught: Caught| caught.signal == AgentSignal::Hangup;
        let since = self.ending_since.filter(|_| is_hangup(caught));
        self.interrupted.is_some_and(is_hangup)
            && since.is_some_and(|since| since.elapsed() < HANGING_UP)
    }

    /// Returns whether the command has been asked to end.
    pub(super) fn is_ending(&self) -> bool {
        self.ending_since.is_some()
    }

    /// Returns whether a signal begins the end of the command, or a grace is over with it. A person's first ctrl-c is
    /// between them and the command: it may mean something else than the end there.
    fn is_an_ending(&self, caught: Caught) -> bool {
        let is_first = self.interrupted.is_none();
        let is_typed = caught.is_from_terminal && caught.signal == AgentSignal::Interrupt;
        let is_patient = is_typed && is_first || caught.signal == AgentSignal::Quit;
        caught.asks_to_end() && (self.is_ending() || !is_patient)
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
                caught = self.next() => {
                    if !caught.asks_to_end() || self.is_repeated(caught) {
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

/// Waits for the command's end. A signal is passed on; what doesn't end within the grace, or before a further signal, is
/// killed, with what it has started.
pub(super) async fn supervise(
    runner: &LocalProcessRunner,
    command: &mut Started,
    watch: &mut Watch,
) -> Result<AgentExit, RecordError> {
    let id = &command.id;
    loop {
        let caught = tokio::select! {
            biased;
            exit = runner.wait(id) => {
                let exit = exit.map_err(RecordError::NotWatched)?;
                watch.note_end(exit).await;
                return Ok(exit);
            }
            caught = watch.next() => caught,
            () = command.terminal.stopped() => {
                // Wherever it stopped, `fg` wakes it.
                command.terminal.stop_with();
                go_on(runner, id, watch);
                continue;
            }
        };
        let of_group = match &mut command.witness {
            Some(witness) => witness.heard().await.unwrap_or_default(),
            None => Vec::new(),
        };
        // What is typed, or sent to the group, the command has got already, unless its terminal is another.
        let is_of_group = caught.is_from_terminal || of_group.contains(&caught.number);
        let has_got = is_of_group && !command.terminal.is_own();
        let signal = (!has_got).then_some(caught.signal);
        let done = if watch.is_an_ending(caught) {
            match watch.ending_since {
                Some(_) if watch.is_repeated(caught) => Ok(()),
                Some(_) => runner.ask_to_end(id, Some(AgentSignal::Kill)),
                None => {
                    watch.ending_since = Some(Instant::now());
                    runner.ask_to_end(id, signal)
                }
            }
        } else {
            signal.map_or(Ok(()), |signal| runner.signal(id, signal))
        };
        if caught.asks_to_end() {
            watch.interrupted.get_or_insert(caught);
        }
        if let Err(error) = done {
            // It changed to another user: all that is left is to record it on.
            watch.ending_since = None;
            (watch.notify)(&Notice::NotSignalled(error));
        }
        if caught.signal == AgentSignal::Stop {
            // The shell sees us stopped, and gets its terminal back; `fg` wakes both.
            command.terminal.suspend();
            stop_self();
            command.terminal.resume();
            go_on(runner, id, watch);
        }
    }
}

fn go_on(runner: &LocalProcessRunner, id: &Uuid, watch: &Watch) {
    if let Err(error) = runner.signal(id, AgentSignal::Continue) {
        (watch.notify)(&Notice::NotSignalled(error));
    }
}

/// What the pumps are to end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Nothing,
    /// With the reading of what others hold open.
    Reading,
    /// With waiting for readers of this program's output that take nothing, too.
    Passing,
}

/// A pump on its way, and the end of a stream that it may leave.
pub(super) type Pumping = (Stream, JoinHandle<(Pumped, Option<Source>)>);

/// Waits for the end of the command's output, which others that it started may hold open: no longer than `linger`, and
/// after a signal no longer than the grace. Returns what became of each stream, and those that are held open.
pub(super) async fn drain(
    pumps: Vec<Pumping>,
    stop: &watch::Sender<Stop>,
    watch: &mut Watch,
    linger: Option<Duration>,
) -> Result<(Vec<Pumped>, Vec<Source>), RecordError> {
    let mut all = std::pin::pin!(async {
        let mut ended = Vec::new();
        for (stream, pumping) in pumps {
            ended.push((stream, pumping.await));
        }
        ended
    });
    let lingered = async {
        match linger {
            Some(linger) => tokio::time::sleep(linger).await,
            None => std::future::pending().await,
        }
    };
    let mut lingered = std::pin::pin!(lingered);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut all => break ended,
            () = &mut lingered, if *stop.borrow() == Stop::Nothing => {
                stop.send_replace(Stop::Reading);
            }
            caught = watch.next() => {
                // The command is gone; there is nobody to pass a signal on to.
                if !caught.asks_to_end() || watch.is_repeated(caught) {
                    continue;
                }
                if *stop.borrow() == Stop::Passing {
                    return Err(RecordError::Interrupted(caught));
                }
                watch.interrupted.get_or_insert(caught);
                stop.send_replace(Stop::Passing);
            }
        }
    };
    let (mut all, mut left) = (Vec::new(), Vec::new());
    for (stream, result) in ended {
        let (pumped, source) = result.map_err(RecordError::Broken)?;
        if let Some(trouble) = &pumped.trouble {
            (watch.notify)(&Notice::StreamTrouble {
                stream,
                trouble: trouble.clone(),
            });
        }
        all.push(pumped);
        left.extend(source);
    }
    Ok((all, left))
}
