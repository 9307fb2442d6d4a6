//! The leader: whoever runs the queue's writes now, one group and one commit at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::context::{Context, OpenDatabase};
use super::group::{Ended, begin_within, in_transaction, without_transaction};
use super::index_schedule::index_in_time;
use super::kind::WriteKind;
use super::request::WriteGroup;
use super::turn::wait_for_turn;
use crate::commit_notes::CommitNotes;
use crate::engine::blocking::spawn_surely;
use crate::engine::connection::OwnConnection;
use crate::engine::identity::{settle, store_id};
use crate::engine::runtime::catch_panic;
use crate::engine::transaction::rollback;
use crate::engine::turnstile::{Pass, Passage};
use crate::engine::wal::{free_log_space, wal_pages};
use crate::error::{ErrorKind, StateStoreError};

/// The leader. There is at most one; it never awaits.
pub(super) struct Leader {
    context: Arc<Context>,
    /// Until the work is done.
    keep_alive: Option<Arc<dyn OpenDatabase>>,
    connection: Option<OwnConnection>,
    /// A connection that can't be used again, to be closed where that may take its time.
    broken: Option<OwnConnection>,
    /// Those whose commit failed with an unknown outcome: they are answered once it is settled.
    unsettled: Answers,
    /// How long the last transaction took.
    took: Duration,
    /// Whether the commit was much of that.
    waits_for_disk: bool,
    stage: Stage,
}

/// Waiting for callers takes no longer than this part of the last transaction, and no longer than this.
const GATHERING_SHARE: u32 = 8;
/// The wait for SQLite's lock in this process's turn from which on others are suspected to take no turns.
const FOREIGN_WAIT: Duration = Duration::from_millis(500);
const LONGEST_GATHERING: Duration = Duration::from_millis(5);

/// Where the leader is, and so what becomes of the queue if it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// At work, and it panicked: another goes on.
    AtWork,
    /// On its way to a thread of the store's runtime, and that is gone: it tries the one that it finds itself in.
    ToOwnRuntime,
    /// On its way to another runtime, and that is gone too: the queue is answered.
    ToThisRuntime,
    /// No longer the leader.
    Done,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The group can be answered.
    Done,
    /// The lock belongs to another process, and this thread may not wait: the group is back in the queue.
    Locked,
    /// The connection can't be used again; what isn't answered is back in the queue.
    Broken,
}

impl Leader {
    pub(super) fn new(
        context: Arc<Context>,
        keep_alive: Arc<dyn OpenDatabase>,
        connection: Option<OwnConnection>,
    ) -> Self {
        Self {
            context,
            keep_alive: Some(keep_alive),
            connection,
            broken: None,
            unsettled: Answers::default(),
            took: Duration::ZERO,
            waits_for_disk: false,
            stage: Stage::AtWork,
        }
    }

    /// Runs one group on the caller's thread if that is short, and leaves the rest to the blocking pool.
    pub(super) fn run_inline(mut self) {
        if self.connection.is_none()
            || !self.context.latency.is_short()
            || self.context.has_to_recover()
        {
            return self.hand_over();
        }
        let Passage::Open(pass) = self.context.turnstile.try_pass() else {
            return self.hand_over();
        };
        let (turn, answers) = self.take_turn(false, (pass, Duration::ZERO));
        match turn {
            Turn::Done => {
                if let Some(leader) = self.step_down(answers) {
                    leader.hand_over();
                }
            }
            // A broken connection is closed there too: that takes its time.
            Turn::Locked | Turn::Broken => {
                answers.send();
                self.hand_over();
            }
        }
    }

    /// Goes on on a thread of the blocking pool.
    pub(super) fn hand_over(mut self) {
        self.stage = Stage::ToOwnRuntime;
        let runtime = self.context.runtime.clone();
        spawn_surely(&runtime, move || self.drain());
    }

    /// Runs groups on a blocking thread until the queue is empty.
    fn drain(mut self) {
        self.stage = Stage::AtWork;
        loop {
            // Closed before the next one opens: it may still hold the lock.
            self.broken = None;
            if self.connection.is_none() {
                match self.open() {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        self.context.marks_log.store(true, Ordering::Release);
                    }
                    Err(error) => return self.give_up(&error),
                }
            }
            if self.context.has_to_recover()
                && let Err(error) = self.recover()
            {
                return self.give_up(&error);
            }
            let passed = match &mut self.connection {
                Some(connection) => {
                    let Context {
                        turnstile,
                        busy_timeout,
                        ..
                    } = &*self.context;
                    wait_for_turn(turnstile, *busy_timeout, connection)
                }
                None => continue,
            };
            let (turn, answers) = self.take_turn(true, passed);
            if turn == Turn::Broken {
                answers.send();
                continue;
            }
            let answers = self.gather(answers);
            match self.step_down(answers) {
                Some(leader) => self = leader,
                None => return,
            }
        }
    }

    /// Settles a commit whose outcome is unknown, and answers those who wait for that; moves the log where the disk is full.
    ///
    /// # Errors
    /// Where it can't be settled: then nothing may be written.
    fn recover(&mut self) -> Result<(), StateStoreError> {
        let context = Arc::clone(&self.context);
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if context.needs_space.load(Ordering::Acquire) {
            let moved = connection.run(true, |connection| {
                catch_panic(|| free_log_space(connection, context.busy_timeout))
            });
            match moved {
                Ok(()) => context.needs_space.store(false, Ordering::Release),
                // It is tried again before the next write, which may need less.
                Err(error) => tracing::debug!(%error, "the log could not be moved on a full disk"),
            }
        }
        if context.is_unsettled.load(Ordering::Acquire) {
            let settled = connection.run(true, |connection| catch_panic(|| settle(connection)));
            if let Err(error) = settled {
                self.broken = self.connection.take();
                let failure = StateStoreError::OutcomeUnknown {
                    operation: "commit",
                    cause: format!(
                        "a commit failed and could not be settled since, so nothing is written: {error}"
                    )
                    .into(),
                };
                self.unsettled.failure = Some(failure.again());
                return Err(failure);
            }
            context.is_unsettled.store(false, Ordering::Release);
        }
        std::mem::take(&mut self.unsettled).send();
        Ok(())
    }

    fn open(&self) -> Result<OwnConnection, StateStoreError> {
        let Context {
            file,
            role,
            busy_timeout,
            ..
        } = &*self.context;
        let connection = catch_panic(|| OwnConnection::open(file, *role, *busy_timeout))
            .map_err(|error| error.during("open"))?;
        self.context.turnstile.open(file.path());
        let mut connection = connection;
        file.know_store(connection.run(true, store_id).unwrap_or_default());
        Ok(connection)
    }

    /// Answers those who shared a commit, and lets them come back for the next; while they do so at once, it is shared by
    /// all of them. Without this, those who queued during a commit and those it answered would take turns.
    fn gather(&self, answers: Answers) -> Answers {
        let context = &self.context;
        let answered = answers.group.len();
        if answered < 2 || !self.waits_for_disk || !context.returning.is_expected() {
            return answers;
        }
        let expected = context.queue.len() + answered;
        answers.send();
        let moment = (self.took / GATHERING_SHARE).min(LONGEST_GATHERING);
        let came = context.queue.gather(expected, moment);
        context.returning.record(came >= expected / 2);
        Answers::default()
    }

    /// Runs one group in one transaction.
    fn take_turn(&mut self, may_wait: bool, (pass, patience): (Pass, Duration)) -> (Turn, Answers) {
        let Some(mut connection) = self.connection.take() else {
            return (Turn::Broken, Answers::default());
        };
        let context = &self.context;
        let mut group = context.queue.next_group(may_wait);
        let Some(kind) = group.first().map(|first| first.kind()) else {
            self.connection = Some(connection);
            return (Turn::Done, Answers::default());
        };
        context.company.record(group.len() > 1);
        let guarded = context.guards.are_up() && group.len() > 1;
        let is_short = group.iter().all(|request| request.kind().is_short());
        let started = Instant::now();
        let mut commit = Duration::ZERO;
        let mut notes = CommitNotes::default();
        let mut seen = connection.data_version().take();
        let marks_log = context.marks_log.load(Ordering::Acquire);
        let begun = if kind == WriteKind::OutsideTransaction {
            Ok(())
        } else {
            connection.run(false, |connection| begin_within(connection, patience))
        };
        if pass.is_real() && started.elapsed() > FOREIGN_WAIT {
            context
                .turnstile
                .warn("another program holds the database's lock without taking turns");
        }
        let begun = match begun {
            Ok(()) if kind != WriteKind::OutsideTransaction => {
                let checked = connection.check_log(&context.file);
                if checked.is_err() {
                    let _rolled_back = connection.run(false, |connection| Ok(rollback(connection)));
                }
                checked
            }
            begun => begun,
        };
        // What a caller runs may meet locks of its own.
        let ended = match begun {
            Ok(()) => connection.run(may_wait && kind.is_exclusive(), |connection| {
                Ok(match kind {
                    WriteKind::OutsideTransaction => without_transaction(connection, &mut group),
                    _ => in_transaction(
                        &context.indexing,
                        connection,
                        (&mut seen, marks_log),
                        &mut group,
                        &mut notes,
                        &mut commit,
                        guarded,
                    ),
                })
            }),
            Err(error @ StateStoreError::Busy { .. }) => Ok(Ended::Locked(error)),
            Err(error) => Ok(Ended::Failed(error)),
        };
        drop(pass);
        *connection.data_version() = seen;
        let ended = match ended {
            // Before anybody is answered.
            Ok(Ended::Committed) if kind != WriteKind::OutsideTransaction => connection
                .check_place(&context.file)
                .map(|()| Ended::Committed),
            ended => ended,
        };
        self.took = started.elapsed();
        self.waits_for_disk = commit > self.took / 3;
        if is_short {
            context.latency.record(self.took);
        }
        if matches!(ended, Ok(Ended::Committed))
            && kind != WriteKind::OutsideTransaction
            && let Ok(pages) =
                connection.run(may_wait, |connection| catch_panic(|| wal_pages(connection)))
        {
            let has_begun_again = context.checkpointer.record(pages);
            let is_shared = context.company.is_usual();
            let length = connection.log_pages();
            connection.set_log_pages(context.checkpointer.next_length(length, is_shared));
            context.marks_log.store(has_begun_again, Ordering::Release);
        }
        if matches!(ended, Ok(Ended::Committed)) && kind != WriteKind::OutsideTransaction {
            index_in_time(context, self.keep_alive.as_ref(), notes.appended);
            if guarded {
                let has_failed = group.iter().any(|request| !request.has_succeeded());
                context.guards.record(has_failed);
            }
        }
        if group.iter().any(|request| request.has_found_disk_full())
            || matches!(&ended, Ok(Ended::Failed(error)) if error.kind() == ErrorKind::DiskFull)
        {
            context.needs_space.store(true, Ordering::Release);
        }
        let (turn, failure) = match ended {
            Ok(Ended::Committed | Ended::RolledBack)
                if notes.lent_within.is_some() && !connection.reset() =>
            {
                (Turn::Broken, None)
            }
            Ok(Ended::Committed | Ended::RolledBack) => (Turn::Done, None),
            Ok(Ended::Locked(error)) if may_wait => (Turn::Done, Some(error)),
            Ok(Ended::Locked(_)) => {
                context.queue.put_back(std::mem::take(&mut group));
                (Turn::Locked, None)
            }
            Ok(Ended::Unguarded) => {
                context.guards.raise();
                context.queue.put_back(std::mem::take(&mut group));
                (Turn::Done, None)
            }
            Ok(Ended::TakenDown(place)) => {
                let others = group.split_off(place + 1);
                let culprit = group.pop();
                context
                    .queue
                    .put_back(group.into_iter().chain(others).collect());
                group = culprit.into_iter().collect();
                (Turn::Broken, None)
            }
            Ok(Ended::Failed(error @ StateStoreError::OutcomeUnknown { .. })) => {
                context.is_unsettled.store(true, Ordering::Release);
                let group = std::mem::take(&mut group);
                let failure = Some(error);
                self.unsettled = Answers { group, failure };
                (Turn::Broken, None)
            }
            Ok(Ended::Failed(error)) | Err(error) => (Turn::Broken, Some(error)),
        };
        match turn {
            Turn::Broken => self.broken = Some(connection),
            Turn::Done | Turn::Locked => self.connection = Some(connection),
        }
        (turn, Answers { group, failure })
    }

    /// Ends the leadership, and then sends the answers: a lone caller who hears one finds the queue without a leader.
    /// Returns itself where there is more to do.
    fn step_down(mut self, answers: Answers) -> Option<Self> {
        let is_over = self.context.queue.step_down(&mut self.connection);
        if is_over {
            self.stage = Stage::Done;
            // The connection only where the store is closed, and nobody else would close it.
            drop((self.connection.take(), self.keep_alive.take()));
        }
        answers.send();
        (!is_over).then_some(self)
    }

    /// Answers everything that waits with a failure, and ends the leadership.
    fn give_up(&mut self, failure: &StateStoreError) {
        std::mem::take(&mut self.unsettled).send();
        let group = self.context.queue.abandon(self.connection.take());
        self.stage = Stage::Done;
        let failure = Some(failure.again());
        Answers { group, failure }.send();
    }

    fn successor(&mut self) -> Self {
        self.stage = Stage::Done;
        Self {
            context: Arc::clone(&self.context),
            keep_alive: self.keep_alive.take(),
            connection: self.connection.take(),
            broken: self.broken.take(),
            unsettled: std::mem::take(&mut self.unsettled),
            took: self.took,
            waits_for_disk: self.waits_for_disk,
            stage: Stage::AtWork,
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        match self.stage {
            Stage::Done => {}
            Stage::AtWork => self.successor().hand_over(),
            Stage::ToOwnRuntime => match Handle::try_current() {
                // Not the one that has just refused it.
                Ok(runtime) if runtime.id() != self.context.runtime.id() => {
                    let mut next = self.successor();
                    next.stage = Stage::ToThisRuntime;
                    spawn_surely(&runtime, move || next.drain());
                }
                _ => self.give_up(&StateStoreError::Closed),
            },
            Stage::ToThisRuntime => self.give_up(&StateStoreError::Closed),
        }
    }
}

/// What a group is going to hear.
#[derive(Default)]
struct Answers {
    group: WriteGroup,
    failure: Option<StateStoreError>,
}

impl Answers {
    fn send(self) {
        for request in self.group {
            match &self.failure {
                None => request.answer(),
                // One that was withdrawn before it started has nobody to hear it.
                Some(failure) if request.start() => request.fail(failure),
                Some(_) => {}
            }
        }
    }
}
