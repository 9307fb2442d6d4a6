//! Whoever runs the write lane's queue now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use tokio::runtime::Handle;

use super::checkpoints::log_pages;
use super::closure::caught;
use super::held::Held;
use super::operation::{Batch, Ran, Shape, Traces};
use super::transaction::{begin, commit, rollback};
use super::writer::{Submitter, WriteLane};
use crate::error::StateStoreError;

/// The owner of the lane. There is one at the most; it never awaits.
pub(super) struct Owner {
    lane: Arc<WriteLane>,
    /// Keeps the core alive, and with it the file's place among the open ones, until the work is done.
    submitter: Option<Submitter>,
    writer: Option<Held>,
    /// A connection that can't be used again, to be closed where that may take its time.
    broken: Option<Held>,
    /// How long the last transaction took.
    took: Duration,
    /// Whether the commit was much of that.
    waits_for_disk: bool,
    standing: Standing,
}

/// Waiting for callers takes no longer than this part of the last transaction, and no longer than this.
const GATHERING_SHARE: u32 = 8;
const LONGEST_GATHERING: Duration = Duration::from_millis(5);

/// What becomes of the queue if the owner is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was at work, and panicked: another goes on.
    AtWork,
    /// It was on its way to a thread of the store's runtime, and that is gone: it tries the one that it finds itself in.
    ToOwnRuntime,
    /// It was on its way to another runtime, and that is gone too: the queue is answered.
    ToThisRuntime,
    /// The lane is free.
    Released,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The batch is answered.
    Done,
    /// The lock belongs to another process, and this thread may not wait: the batch is back in the queue.
    Locked,
    /// The connection can't be used again; what isn't answered is back in the queue.
    Broken,
}

/// How a batch's transaction ended.
enum Ended {
    Committed,
    /// Its only operation failed, and has been taken back.
    RolledBack,
    /// Nothing of it was kept, or nobody knows: everybody hears this.
    Failed(StateStoreError),
    /// It never began, for want of the lock.
    Locked(StateStoreError),
    /// The operation at this place took the transaction down with it.
    TakenDown(usize),
}

impl Owner {
    pub(super) fn new(lane: Arc<WriteLane>, submitter: Submitter, writer: Option<Held>) -> Self {
        Self {
            lane,
            submitter: Some(submitter),
            writer,
            broken: None,
            took: Duration::ZERO,
            waits_for_disk: false,
            standing: Standing::AtWork,
        }
    }

    /// Runs one batch on the caller's thread if that is short, and leaves the rest to the blocking pool.
    pub(super) fn begin(mut self) {
        if self.writer.is_none() || !self.lane.recent.is_short() {
            return self.hand_over();
        }
        let (turn, answers) = self.turn(false);
        match turn {
            Turn::Done => {
                if let Some(owner) = self.release(answers) {
                    owner.hand_over();
                }
            }
            // A broken connection is closed there too: that takes its time.
            Turn::Locked | Turn::Broken => {
                answers.send();
                self.hand_over();
            }
        }
    }

    fn hand_over(mut self) {
        self.standing = Standing::ToOwnRuntime;
        let runtime = self.lane.runtime.clone();
        drop(runtime.spawn_blocking(move || self.drain()));
    }

    /// Runs batches on a blocking thread until the queue is empty.
    fn drain(mut self) {
        self.standing = Standing::AtWork;
        loop {
            // Closed before the next one opens: it may still hold the lock.
            self.broken = None;
            if self.writer.is_none() {
                match self.lane.open() {
                    Ok(writer) => self.writer = Some(writer),
                    Err(error) => return self.give_up(&error),
                }
            }
            let (turn, answers) = self.turn(true);
            if turn == Turn::Broken {
                answers.send();
                continue;
            }
            let answers = self.gather(answers);
            match self.release(answers) {
                Some(owner) => self = owner,
                None => return,
            }
        }
    }

    /// Answers those who shared a commit, and lets them come back for the next; while they do so at once, it is shared by
    /// all of them. Without this, those who queued during a commit and those it answered would take turns.
    fn gather(&self, answers: Answers) -> Answers {
        let answered = answers.batch.len();
        if answered < 2 || !self.waits_for_disk || !self.lane.returning.is_held() {
            return answers;
        }
        let expected = self.lane.waiting() + answered;
        answers.send();
        let moment = (self.took / GATHERING_SHARE).min(LONGEST_GATHERING);
        let came = self.lane.gather(expected, moment);
        self.lane.returning.note(came >= expected / 2);
        Answers::default()
    }

    /// Runs one batch in one transaction.
    fn turn(&mut self, may_wait: bool) -> (Turn, Answers) {
        let Some(mut writer) = self.writer.take() else {
            return (Turn::Broken, Answers::default());
        };
        let mut batch = self.lane.next_batch(may_wait);
        let Some(shape) = batch.first().map(|first| first.shape()) else {
            self.writer = Some(writer);
            return (Turn::Done, Answers::default());
        };
        self.lane.note_company(batch.len());
        let is_short = batch.iter().all(|operation| operation.shape().is_short());
        let started = Instant::now();
        let mut commit = Duration::ZERO;
        let mut traces = Traces::default();
        let lane = &self.lane;
        let ended = writer.run(may_wait, |connection| {
            Ok(match shape {
                Shape::Bare => alone(connection, &mut batch),
                _ => transaction(lane, connection, &mut batch, &mut traces, &mut commit),
            })
        });
        self.took = started.elapsed();
        self.waits_for_disk = commit > self.took / 3;
        if is_short {
            lane.recent.note(self.took);
        }
        if matches!(ended, Ok(Ended::Committed))
            && shape != Shape::Bare
            && let Ok(pages) = writer.run(may_wait, |connection| caught(|| log_pages(connection)))
        {
            lane.checkpoints.note(pages);
        }
        let (turn, failure) = match ended {
            Ok(Ended::Committed) if traces.lent_connection && !writer.restore() => {
                (Turn::Broken, None)
            }
            Ok(Ended::Committed | Ended::RolledBack) => (Turn::Done, None),
            Ok(Ended::Locked(error)) if may_wait => (Turn::Done, Some(error)),
            Ok(Ended::Locked(_)) => {
                lane.put_back(std::mem::take(&mut batch));
                (Turn::Locked, None)
            }
            Ok(Ended::TakenDown(place)) => {
                let others = batch.split_off(place + 1);
                let culprit = batch.pop();
                lane.put_back(batch.into_iter().chain(others).collect());
                batch = culprit.into_iter().collect();
                (Turn::Broken, None)
            }
            Ok(Ended::Failed(error)) | Err(error) => (Turn::Broken, Some(error)),
        };
        match turn {
            Turn::Broken => self.broken = Some(writer),
            Turn::Done | Turn::Locked => self.writer = Some(writer),
        }
        (turn, Answers { batch, failure })
    }

    /// Gives the lane free, and then the answers: a lone caller who hears one finds the lane free. Gives itself back where
    /// there is more to do.
    fn release(mut self, answers: Answers) -> Option<Self> {
        let is_free = self.lane.free(&mut self.writer);
        if is_free {
            self.standing = Standing::Released;
            // The connection only where the store is closed, and nobody else would close it.
            drop((self.writer.take(), self.submitter.take()));
        }
        answers.send();
        (!is_free).then_some(self)
    }

    /// Answers everything that waits with a failure, and gives the lane free.
    fn give_up(&mut self, failure: &StateStoreError) {
        let queue = self.lane.abandon(self.writer.take());
        self.standing = Standing::Released;
        let failure = Some(failure.again());
        Answers {
            batch: queue,
            failure,
        }
        .send();
    }

    fn successor(&mut self) -> Self {
        self.standing = Standing::Released;
        Self {
            lane: Arc::clone(&self.lane),
            submitter: self.submitter.take(),
            writer: self.writer.take(),
            broken: self.broken.take(),
            took: self.took,
            waits_for_disk: self.waits_for_disk,
            standing: Standing::AtWork,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        match self.standing {
            Standing::Released => {}
            Standing::AtWork => self.successor().hand_over(),
            Standing::ToOwnRuntime => match Handle::try_current() {
                // Not the one that has just refused it.
                Ok(runtime) if runtime.id() != self.lane.runtime.id() => {
                    let mut next = self.successor();
                    next.standing = Standing::ToThisRuntime;
                    drop(runtime.spawn_blocking(move || next.drain()));
                }
                _ => self.give_up(&StateStoreError::Closed),
            },
            Standing::ToThisRuntime => self.give_up(&StateStoreError::Closed),
        }
    }
}

/// One transaction over a batch; operations whose callers are gone are taken out. Notes how long the commit took.
fn transaction(
    lane: &WriteLane,
    connection: &mut SqliteConnection,
    batch: &mut Batch,
    traces: &mut Traces,
    took: &mut Duration,
) -> Ended {
    match caught(|| begin(connection, "BEGIN IMMEDIATE")) {
        Ok(()) => {}
        Err(error @ StateStoreError::Busy { .. }) => return Ended::Locked(error),
        Err(error) => return Ended::Failed(error),
    }
    batch.retain(|operation| operation.start());
    for (place, operation) in batch.iter_mut().enumerate() {
        match operation.run(connection, traces) {
            Ran::Cleanly => {}
            Ran::HalfWay if rollback(connection) => return Ended::RolledBack,
            Ran::HalfWay | Ran::Fatally => return Ended::TakenDown(place),
        }
    }
    if traces.needs_finish
        && let Err(error) = caught(|| (lane.finish)(connection))
    {
        rollback(connection);
        return Ended::Failed(error);
    }
    let started = Instant::now();
    let committed = caught(|| commit(connection));
    *took = started.elapsed();
    match committed {
        Ok(()) => Ended::Committed,
        Err(StateStoreError::Panicked { message }) => {
            Ended::Failed(StateStoreError::OutcomeUnknown {
                operation: "commit",
                source: message.into(),
            })
        }
        Err(error) => Ended::Failed(error.of_commit("commit")),
    }
}

/// Work outside a transaction.
fn alone(connection: &mut SqliteConnection, batch: &mut Batch) -> Ended {
    batch.retain(|operation| operation.start());
    for operation in batch {
        operation.run(connection, &mut Traces::default());
    }
    Ended::Committed
}

/// What a batch is going to hear.
#[derive(Default)]
struct Answers {
    batch: Batch,
    failure: Option<StateStoreError>,
}

impl Answers {
    fn send(self) {
        for operation in self.batch {
            match &self.failure {
                None => operation.answer(),
                // One that was withdrawn before it started has nobody to hear it.
                Some(failure) if operation.start() => operation.fail(failure),
                Some(_) => {}
            }
        }
    }
}
