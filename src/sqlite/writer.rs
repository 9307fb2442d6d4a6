//! The write lane: one connection, and group commit by flat combining.
//!
//! A caller pushes its operation onto the queue; whoever finds the connection free becomes the [`Owner`], opens one
//! immediate transaction, runs up to [`BATCH`] queued operations in it, commits once, and answers all. An idle lane
//! therefore costs no hop to another thread, and a busy one shares each fsync.
//!
//! - The owner never awaits. What is queued when its batch is done goes to the blocking pool.
//! - An operation owns its data; one that was withdrawn before it started is skipped.
//! - An operation that fails leaves its neighbours untouched: it is a single writing statement, or has a savepoint.
//!   Where SQLite rolls the whole batch back because of it, the others run again without it.
//! - A bulk write and a caller's closure are never batched: each has a transaction to itself, on the blocking pool, and is
//!   rolled back by that. A checkpoint or a migration has none.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::SqliteConnection;
use tokio::runtime::Handle;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};
use tracing::Span;

use super::checkpoints::Checkpoints;
use super::closure::{CoreId, caught};
use super::connect::{DatabaseFile, Role};
use super::held::Held;
use super::operation::{Batch, Operation, Queued, Shape, Ticket, Traces};
use super::options::StoreOptions;
use super::owner::Owner;
use super::patience::Patience;
use super::recent::{Hope, RecentTime};
use super::threads::give_way;
use crate::error::StateStoreError;

/// Operations in one transaction at the most.
const BATCH: usize = 256;

/// What has to be done once before a commit in which any operation asked for it.
pub(super) type Finish = fn(&mut SqliteConnection) -> Result<(), StateStoreError>;

/// Who submits: its core, which lives as long as the work does.
#[derive(Clone)]
pub(super) struct Submitter {
    pub(super) core: CoreId,
    pub(super) _keep: Arc<dyn Send + Sync>,
}

/// The caller's end: dropping it withdraws an operation that hasn't started.
struct Withdraw<'l> {
    ticket: Arc<Ticket>,
    lane: &'l WriteLane,
}

impl Withdraw<'_> {
    /// What it means that the operation went without an answer.
    fn unanswered(&self, operation: &'static str) -> StateStoreError {
        if self.ticket.withdraw() {
            return StateStoreError::Closed;
        }
        StateStoreError::OutcomeUnknown {
            operation,
            source: "the thread that wrote it ended".into(),
        }
    }
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if self.ticket.withdraw() {
            self.lane.sweep();
        }
    }
}

pub(super) struct WriteLane {
    state: Mutex<LaneState>,
    room: Arc<Semaphore>,
    capacity: usize,
    file: DatabaseFile,
    role: Role,
    busy_timeout: Duration,
    pub(super) runtime: Handle,
    patience: Arc<Patience>,
    pub(super) recent: RecentTime,
    /// Of other writers at the same time. On one runtime thread each would find the lane free, and commit alone, before
    /// the next is polled; so one that expects company lets the others queue first.
    company: Hope,
    /// Of callers who have been answered: that they come back at once with their next write.
    pub(super) returning: Hope,
    /// Tells the owner who waits for them that they are all back.
    gathered: Condvar,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) finish: Finish,
}

#[derive(Default)]
struct LaneState {
    queue: VecDeque<Box<dyn Operation>>,
    /// The connection, while nobody owns the lane; `None` also before the first write.
    writer: Option<Held>,
    is_owned: bool,
    is_closed: bool,
    /// At how many operations in the queue the owner goes on; zero while it doesn't wait for any.
    awaited: usize,
}

impl WriteLane {
    pub(super) fn new(
        file: &DatabaseFile,
        options: &StoreOptions,
        runtime: Handle,
        patience: Arc<Patience>,
        checkpoints: Arc<Checkpoints>,
        finish: Finish,
    ) -> Self {
        Self {
            state: Mutex::default(),
            room: Arc::new(Semaphore::new(options.write_queue)),
            capacity: options.write_queue,
            file: file.clone(),
            role: Role::Writer(options.durability),
            busy_timeout: options.busy_timeout,
            runtime,
            patience,
            recent: RecentTime::new(options.inline_budget),
            company: Hope::default(),
            returning: Hope::default(),
            gathered: Condvar::new(),
            checkpoints,
            finish,
        }
    }

    /// Queues an operation, and waits for its answer. Dropping the future before the operation starts withdraws it;
    /// after that it is carried out whole.
    pub(super) async fn submit<T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        shape: Shape,
        submitter: Submitter,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut Traces) -> Result<T, StateStoreError> + Send + 'static,
    {
        let room = self.room().await?;
        let ticket = Arc::<Ticket>::default();
        let (reply, mut answer) = oneshot::channel();
        let withdraw = Withdraw {
            ticket: Arc::clone(&ticket),
            lane: self,
        };
        let queued = Box::new(Queued {
            operation,
            shape,
            work,
            result: None,
            reply,
            ticket,
            core: submitter.core,
            span: Span::current(),
            room,
        });
        let is_free = self.enqueue(queued)?;
        if is_free && self.company.is_held() {
            // Others that are about to write get their turn to queue first, and share the commit.
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        if is_free && let Some(owner) = self.own(submitter) {
            owner.begin();
        }
        match answer.try_recv() {
            Ok(result) => {
                // It ran on this thread, without an await.
                give_way(started.elapsed(), self.company.is_held()).await;
                return result;
            }
            Err(TryRecvError::Closed) => return Err(withdraw.unanswered(operation)),
            Err(TryRecvError::Empty) => {}
        }
        let answered = match self.patience.wait(&mut answer).await {
            Some(answered) => answered,
            None if withdraw.ticket.withdraw() => {
                return Err(StateStoreError::Timeout {
                    operation,
                    waited: self.patience.limit(),
                });
            }
            // It has started, and will be answered, however long that takes.
            None => answer.await,
        };
        answered.unwrap_or_else(|_| Err(withdraw.unanswered(operation)))
    }

    /// A place in the queue; waits while it is full.
    async fn room(&self) -> Result<OwnedSemaphorePermit, StateStoreError> {
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => return Ok(room),
            Err(TryAcquireError::Closed) => return Err(StateStoreError::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        match self
            .patience
            .wait(Arc::clone(&self.room).acquire_owned())
            .await
        {
            Some(room) => room.map_err(|_| StateStoreError::Closed),
            None => Err(StateStoreError::QueueFull {
                capacity: self.capacity,
            }),
        }
    }

    /// Queues an operation; gives whether the lane was free.
    fn enqueue(&self, operation: Box<dyn Operation>) -> Result<bool, StateStoreError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(StateStoreError::Closed);
        }
        state.queue.push_back(operation);
        if state.queue.len() == state.awaited {
            self.gathered.notify_one();
        }
        Ok(!state.is_owned)
    }

    /// Makes the caller the owner, if the lane is free and anything waits.
    fn own(self: &Arc<Self>, submitter: Submitter) -> Option<Owner> {
        let mut state = self.lock();
        if state.is_owned || state.queue.is_empty() {
            return None;
        }
        state.is_owned = true;
        let writer = state.writer.take();
        Some(Owner::new(Arc::clone(self), submitter, writer))
    }

    /// Refuses further operations, and hands out the connection to be closed; the queue is empty by then.
    pub(super) fn close(&self) -> Option<Held> {
        let mut state = self.lock();
        state.is_closed = true;
        state.writer.take()
    }

    /// Opens the connection that writes; on a thread that may wait.
    pub(super) fn open(&self) -> Result<Held, StateStoreError> {
        caught(|| Held::open(&self.file, self.role, self.busy_timeout))
            .map_err(|error| error.during("open"))
    }

    /// The next operations that go into one transaction; for a runtime's thread none that is long.
    pub(super) fn next_batch(&self, may_wait: bool) -> Batch {
        let mut state = self.lock();
        let mut batch = Batch::new();
        while batch.len() < BATCH {
            let Some(shape) = state.queue.front().map(|next| next.shape()) else {
                break;
            };
            let is_refused = !may_wait && !shape.is_short();
            if is_refused || (shape.is_alone() && !batch.is_empty()) {
                break;
            }
            batch.extend(state.queue.pop_front());
            if shape.is_alone() {
                break;
            }
        }
        batch
    }

    /// Notes how many operations shared a transaction.
    pub(super) fn note_company(&self, operations: usize) {
        self.company.note(operations > 1);
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Lets the queue grow up to a number of operations, for a moment: what comes now shares the next commit. On a thread
    /// that may wait. Gives how many there are.
    pub(super) fn gather(&self, operations: usize, moment: Duration) -> usize {
        let deadline = Instant::now() + moment;
        let mut state = self.lock();
        state.awaited = operations.min(BATCH);
        while state.queue.len() < state.awaited {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.gathered.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.awaited = 0;
        state.queue.len()
    }

    pub(super) fn put_back(&self, batch: Batch) {
        let mut state = self.lock();
        for operation in batch.into_iter().rev() {
            state.queue.push_front(operation);
        }
    }

    /// Takes the connection and gives the lane free; false, and nothing taken, where there is more to do.
    pub(super) fn free(&self, writer: &mut Option<Held>) -> bool {
        let mut state = self.lock();
        if !state.queue.is_empty() {
            return false;
        }
        state.is_owned = false;
        if !state.is_closed {
            state.writer = writer.take();
        }
        true
    }

    /// Gives the lane free, and hands out everything that waits.
    pub(super) fn abandon(&self, writer: Option<Held>) -> Batch {
        let mut state = self.lock();
        state.writer = writer;
        state.is_owned = false;
        std::mem::take(&mut state.queue).into()
    }

    /// Takes withdrawn operations out of the queue where nobody else does soon: where they leave others no room, and where
    /// the lane is free, so that no operation that nobody runs keeps its store open.
    fn sweep(&self) {
        let withdrawn = {
            let mut state = self.lock();
            if state.is_owned && self.room.available_permits() > 0 {
                return;
            }
            let (withdrawn, waiting) = std::mem::take(&mut state.queue)
                .into_iter()
                .partition::<VecDeque<_>, _>(|operation| operation.is_withdrawn());
            state.queue = waiting;
            withdrawn
        };
        // What they own is the callers', and may do anything when it is dropped: not under the lock.
        drop(withdrawn);
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
