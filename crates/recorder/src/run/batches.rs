//! Lines on their way into the store.
//!
//! While one batch is written, the next gathers. What can't be written is kept in memory and tried again, older before
//! newer, while the command runs and for a while after it; every row has its id from the moment its line is read, so that
//! writing a batch once more adds nothing. The command waits for a store that is slow, and for one that fails only in a
//! strict run.

use std::sync::Arc;
use std::time::Duration;

use descartes_state::error::ErrorKind;
use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{AnyStateStore, Limits, StateStoreError, new_id};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::Notify;
use super::backlog::{Backlog, Batch};
use super::life::{End, Ended, Exited, Life, Started};
use super::queue::Queued;
use super::report::Notice;
use super::trouble::{Trouble, is_final};
use super::write::{Job, Writing, finished, write};
use crate::entries::{EntryReader, Refused, Unstructured, is_of_content};

/// How long the first line of a batch waits for others.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// The first pause before a write is tried again, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Events that were written when they came.
    pub(super) events: u64,
    /// Events that were written later, because the store failed at first.
    pub(super) late: u64,
    pub(super) lost: u64,
    pub(super) transitions: u64,
    /// Whether the run's end is in the store.
    pub(super) is_end_recorded: bool,
    /// Why something was not written, or late.
    pub(super) failure: Option<String>,
}

/// How patient the recorder is with its store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Bytes that are kept in memory while the store fails.
    pub(super) buffer: usize,
    /// How long it is tried after the command's end.
    pub(super) after_end: Duration,
    /// Whether the command waits, too, for a store that fails.
    pub(super) is_strict: bool,
}

/// Writes the life of one run.
pub(super) struct Recorder {
    store: AnyStateStore,
    notify: Notify,
    life: Life,
    reader: EntryReader,
    patience: Patience,
    backlog: Backlog,
    /// That the command was started, until it is written.
    started: Option<Started>,
    /// The agent's last recorded status, and its state then.
    last: (&'static str, String),
    /// Of the transition of the command's exit.
    exit_id: Uuid,
    is_exit_recorded: bool,
    /// Whether the command is gone.
    has_exited: bool,
    trouble: Trouble,
    pub(super) tally: Tally,
}

impl Recorder {
    pub(super) fn new(
        store: AnyStateStore,
        notify: Notify,
        life: Life,
        reader: EntryReader,
        patience: Patience,
    ) -> Self {
        Self {
            last: ("idle", life.state("idle", &[])),
            exit_id: new_id(),
            is_exit_recorded: false,
            has_exited: false,
            store,
            notify,
            reader,
            life,
            patience,
            backlog: Backlog::default(),
            started: None,
            trouble: Trouble::default(),
            tally: Tally::default(),
        }
    }

    /// Returns the limits of the store that it writes to.
    pub(super) fn limits(&self) -> &Limits {
        self.store.limits()
    }

    /// Records that the command was started, and its lines until the queue ends.
    pub(super) async fn record(
        mut self,
        pid: Option<u32>,
        mut queue: mpsc::Receiver<Queued>,
        mut exits: oneshot::Receiver<Ended>,
    ) -> Self {
        let running = self.life.state("running", &[("pid", json!(pid))]);
        self.started = Some(Started::new(running.clone(), pid));
        self.last = ("running", running);
        let mut writing: Option<Writing> = None;
        let mut gathered_since = None;
        // When the lines have ended, what is left is tried until then.
        let mut deadline = None;
        let mut may_exit = true;
        loop {
            // Each line has a reader who waits for it.
            let is_urgent = self.patience.is_strict && queue.is_empty();
            if writing.is_none() && self.is_due(gathered_since, is_urgent || deadline.is_some()) {
                gathered_since = None;
                writing = self.next_write();
            }
            if writing.is_none() && deadline.is_some() {
                if self.started.is_none() && self.backlog.is_empty() {
                    break;
                }
                if self.trouble.is_final || deadline.is_some_and(|at| Instant::now() >= at) {
                    self.give_up().await;
                    break;
                }
            }
            let wake = match &writing {
                Some(_) => None,
                None => self.wake(gathered_since, deadline),
            };
            tokio::select! {
                biased;
                (job, result) = finished(&mut writing) => {
                    writing = None;
                    self.take_note(job, result);
                }
                exit = &mut exits, if may_exit => {
                    may_exit = false;
                    if let Ok(ended) = exit {
                        self.add_exit(ended);
                    }
                }
                line = queue.recv(), if deadline.is_none() => match line {
                    Some(line) => {
                        gathered_since = gathered_since.or_else(|| Some(Instant::now()));
                        self.add(line);
                    }
                    None => deadline = Some(Instant::now() + self.patience.after_end),
                },
                () = until(wake) => {}
            }
        }
        self
    }

    /// Returns whether the next write is to begin now.
    fn is_due(&self, gathered_since: Option<Instant>, is_urgent: bool) -> bool {
        if self.trouble.is_final {
            return false;
        }
        if let Some((at, _)) = self.trouble.retry {
            return Instant::now() >= at;
        }
        self.started.is_some()
            || is_urgent
            || self.backlog.has_full_batch()
            || gathered_since.is_none_or(|since| since.elapsed() >= BATCH_TIME)
    }

    /// Returns when to look again, whatever happens, while nothing is being written.
    fn wake(&self, gathered_since: Option<Instant>, deadline: Option<Instant>) -> Option<Instant> {
        let retry = self.trouble.retry.map(|(at, _)| at);
        let gathered = gathered_since.map(|since| since + BATCH_TIME);
        let next = retry.or(gathered);
        match (next, deadline) {
            (Some(next), Some(deadline)) => Some(next.min(deadline)),
            (next, deadline) => next.or(deadline),
        }
    }

    fn next_write(&mut self) -> Option<Writing> {
        let job = match self.started.take() {
            Some(started) => Job::Started(started),
            None => Job::Batch(self.backlog.take()?),
        };
        Some(Box::pin(write(self.store.clone(), self.life.clone(), job)))
    }

    fn take_note(&mut self, job: Job, result: Result<Refused, StateStoreError>) {
        match result {
            Ok(refused) => {
                self.trouble.is_unknown = false;
                self.trouble.retry = None;
                match job {
                    Job::Started(_) => self.tally.transitions += 1,
                    Job::Batch(batch) => {
                        if batch.exited.is_some() {
                            self.is_exit_recorded = true;
                            self.tally.transitions += 1;
                        }
                        self.count(batch, &refused);
                    }
                }
                if self.trouble.has_been_told && self.backlog.is_empty() {
                    self.trouble.has_been_told = false;
                    let lost = self.tally.lost;
                    (self.notify)(&Notice::Resumed { lost });
                }
            }
            Err(error) => {
                match job {
                    Job::Started(started) => self.started = Some(started),
                    Job::Batch(batch) => self.backlog.put_back(batch),
                }
                self.fail(&error);
            }
        }
    }

    fn count(&mut self, batch: Batch, refused: &Refused) {
        let lost = refused.events.len() as u64;
        // A refused row may be of a line that wasn't over.
        let events = (batch.entries.events() as u64).saturating_sub(lost);
        if batch.is_late {
            self.tally.late += events;
        } else {
            self.tally.events += events;
        }
        self.tally.transitions += batch.entries.transitions() as u64 - refused.transitions;
        self.tally.lost += lost;
        batch.kept(refused);
        if let Some(reason) = &refused.reason {
            self.tally.failure = Some(reason.clone());
        }
    }

    /// Takes note that the store failed; it is tried again after a pause, which grows.
    fn fail(&mut self, error: &StateStoreError) {
        let reason = error.to_string();
        let [first, longest] = PAUSES;
        let pause = self
            .trouble
            .retry
            .map_or(first, |(_, pause)| (pause * 2).min(longest));
        self.trouble.retry = Some((Instant::now() + pause, pause));
        self.trouble.is_final = is_final(error);
        // Until the batch is written, whatever is said of it later.
        self.trouble.is_unknown |= error.kind() == ErrorKind::OutcomeUnknown;
        if !self.waits_for_room() {
            self.backlog.release_rooms();
        }
        if !self.trouble.has_been_told {
            self.trouble.has_been_told = true;
            (self.notify)(&Notice::Delayed {
                reason: reason.clone(),
            });
        }
        self.tally.failure = Some(reason);
        if self.trouble.is_final {
            self.abandon();
        }
    }

    /// Returns whether the command waits while the store fails. Once it is gone, nobody is left to wait: what is in its pipe
    /// is taken.
    fn waits_for_room(&self) -> bool {
        self.patience.is_strict && !self.has_exited
    }

    fn add(&mut self, mut line: Queued) {
        let is_troubled = self.trouble.retry.is_some();
        let is_unbounded = is_troubled && !self.waits_for_room();
        let is_full = self.backlog.bytes() + line.line.bytes.len() > self.patience.buffer;
        if self.trouble.is_final || (is_unbounded && is_full && !self.backlog.is_empty()) {
            self.lose(u64::from(!line.line.is_interim));
            return;
        }
        if is_unbounded {
            line.receipt.release_room();
        }
        self.backlog.add(line, &mut self.reader, is_troubled);
    }

    /// Takes note of the command's exit, which is to be written when it happens, whoever holds its output open.
    fn add_exit(&mut self, ended: Ended) {
        self.has_exited = true;
        if self.trouble.is_final {
            return;
        }
        if self.trouble.retry.is_some() {
            self.backlog.release_rooms();
        }
        let exited = Exited {
            ended,
            lost: self.tally.lost,
            before: self.last.clone(),
            has_own_state: self.reader.has_own_state(),
            id: self.exit_id,
        };
        let is_late = self.trouble.retry.is_some();
        self.backlog.add_exit(exited, is_late);
    }

    fn lose(&mut self, events: u64) {
        self.tally.lost += events;
        if events > 0 && !self.trouble.has_told_of_loss {
            self.trouble.has_told_of_loss = true;
            let reason = self.tally.failure.clone();
            (self.notify)(&Notice::RecordingStopped {
                reason: reason.unwrap_or_else(|| "the store takes too long".to_owned()),
            });
        }
    }

    /// Gives up what is left. Of a batch whose outcome is unknown it is looked up first.
    async fn give_up(&mut self) {
        if self.trouble.is_unknown
            && let Some(batch) = self.backlog.take()
        {
            let first = batch.entries.first_event();
            match first {
                Some(id) if matches!(self.store.events().get(&id).await, Ok(Some(_))) => {
                    self.count(batch, &Refused::default());
                }
                _ => self.backlog.put_back(batch),
            }
        }
        self.abandon();
    }

    fn abandon(&mut self) {
        self.started = None;
        let lost = self.backlog.abandon();
        self.lose(lost);
    }

    /// Records the end, and tries for a while; returns the id of the snapshot.
    pub(super) async fn end(&mut self, ended: &Ended) -> Option<String> {
        let end = Arc::new(End {
            exited: Exited {
                ended: ended.clone(),
                lost: self.tally.lost,
                has_own_state: self.reader.has_own_state(),
                before: self.last.clone(),
                id: self.exit_id,
            },
            sessions: self.reader.sessions(),
            agents: self.reader.agents(),
        });
        let deadline = Instant::now() + self.patience.after_end;
        let [mut pause, longest] = PAUSES;
        loop {
            let (life, end) = (self.life.clone(), Arc::clone(&end));
            match self.store.transact(move |tx| life.end(tx, &end)).await {
                Ok(snapshot) => {
                    self.tally.transitions += u64::from(!self.is_exit_recorded);
                    self.tally.is_end_recorded = true;
                    return Some(snapshot);
                }
                Err(error) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    // A store that was given up a moment ago is tried once more, and that is all.
                    let is_over = left.is_zero() || self.trouble.has_told_of_loss;
                    let reason = error.to_string();
                    if !self.trouble.has_been_told {
                        self.trouble.has_been_told = true;
                        (self.notify)(&Notice::Delayed {
                            reason: reason.clone(),
                        });
                    }
                    self.tally.failure = Some(reason);
                    if is_over || is_final(&error) || is_of_content(&error) {
                        return None;
                    }
                    tokio::time::sleep(pause.min(left)).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// Moves the log into the file, so that one file holds the run; every write was on disk before.
    pub(super) async fn close(&mut self) {
        // A store that failed may be locked still: closing would only wait for it once more.
        if !self.tally.is_end_recorded {
            return;
        }
        // Nothing is lost if it fails, since whoever opens the file next moves the log; but in a file that is another
        // store's by now, nobody finds any of it.
        if let Ok(Err(error)) = timeout(self.patience.after_end, self.store.close()).await
            && is_final(&error)
        {
            self.tally.is_end_recorded = false;
            self.tally.failure = Some(error.to_string());
        }
    }

    /// Returns which lines could not be used as objects.
    pub(super) fn unstructured(&self) -> &Unstructured {
        self.reader.unstructured()
    }

    /// Returns how many sessions lines named.
    pub(super) fn named_sessions(&self) -> usize {
        self.reader.sessions().len()
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
