//! The write lane: one connection, and group commit by flat combining.
//!
//! A caller pushes its operation onto the queue; whoever finds the connection free becomes the owner, opens one
//! immediate transaction, runs up to [`BATCH`] queued operations in it, commits once, and answers all. An idle lane
//! therefore costs no hop to another thread, and a busy one shares each fsync.
//!
//! - The owner never awaits. What is queued when its batch is done goes to the blocking pool.
//! - An operation owns its data; one that was withdrawn before it started is skipped.
//! - An operation that fails leaves its neighbours untouched: it is a single writing statement, or has a savepoint.
//!   Where SQLite rolls the whole batch back because of it, the others run again without it.
//! - A caller's closure is never batched: it has the transaction to itself, on the blocking pool.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deadpool_diesel::sqlite::Pool;
use diesel::SqliteConnection;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};
use tracing::Span;

use super::closure;
use super::connect::{DatabaseFile, Role, pool, pool_error};
use super::held::Held;
use super::options::StoreOptions;
use super::recent::RecentTime;
use super::transaction::{begin, commit, in_savepoint, is_open, rollback, secret_name};
use crate::error::StateStoreError;

/// Operations in one transaction at the most.
const BATCH: usize = 256;

/// What has to be done once before a commit in which any operation asked for it.
pub(super) type Finish = fn(&mut SqliteConnection) -> Result<(), StateStoreError>;

/// How an operation is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One writing statement: SQLite takes it back by itself if it fails.
    OneStatement,
    /// Several: they need a savepoint.
    SeveralStatements,
    /// A caller's closure: a transaction of its own, on the blocking pool.
    Closure,
    /// No transaction at all, on the blocking pool: a checkpoint.
    Bare,
}

impl Shape {
    fn is_alone(self) -> bool {
        matches!(self, Self::Closure | Self::Bare)
    }
}

/// A queued operation, whatever its result.
trait Operation: Send {
    fn shape(&self) -> Shape;
    /// Claims the operation, also once more; false if its caller is gone.
    fn start(&self) -> bool;
    /// Runs it and keeps its result.
    fn run(&mut self, connection: &mut SqliteConnection, finish: &mut bool) -> Ran;
    /// Answers with the kept result, or with the failure of its transaction.
    fn answer(self: Box<Self>, failure: Option<&StateStoreError>);
}

/// What became of one operation's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// Done, or failed and left no trace.
    Cleanly,
    /// Failed, and the transaction may be gone with it.
    Fatally,
}

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Who was first: the owner who starts the operation, or the caller who withdraws it.
#[derive(Debug, Default)]
struct Ticket(AtomicU8);

impl Ticket {
    fn claim(&self, state: u8) -> bool {
        self.0
            .compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// The caller's end: dropping it withdraws an operation that hasn't started.
struct Withdraw(Arc<Ticket>);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.claim(WITHDRAWN);
    }
}

struct Queued<T, F> {
    operation: &'static str,
    shape: Shape,
    work: F,
    result: Option<Result<T, StateStoreError>>,
    reply: oneshot::Sender<Result<T, StateStoreError>>,
    ticket: Arc<Ticket>,
    core: usize,
    span: Span,
    _room: OwnedSemaphorePermit,
}

impl<T, F> Operation for Queued<T, F>
where
    T: Send,
    F: FnMut(&mut SqliteConnection, &mut bool) -> Result<T, StateStoreError> + Send,
{
    fn shape(&self) -> Shape {
        self.shape
    }

    fn start(&self) -> bool {
        self.ticket.claim(STARTED) || self.ticket.0.load(Ordering::Acquire) == STARTED
    }

    fn run(&mut self, connection: &mut SqliteConnection, finish: &mut bool) -> Ran {
        let (shape, core, work) = (self.shape, self.core, &mut self.work);
        let (result, is_intact) = self.span.in_scope(|| match shape {
            Shape::OneStatement | Shape::Bare => {
                let result = closure::caught(|| work(connection, finish));
                let is_suspect = matches!(&result, Err(error) if error.may_end_transaction());
                (result, !is_suspect)
            }
            Shape::SeveralStatements => in_savepoint(connection, "operation", |connection| {
                work(connection, finish)
            }),
            Shape::Closure => closure::marked(core, || {
                in_savepoint(connection, &secret_name(), |connection| {
                    work(connection, finish)
                })
            }),
        });
        // A closure may have written events by Diesel or raw SQL.
        *finish |= shape == Shape::Closure && result.is_ok();
        let is_known = !matches!(result, Err(StateStoreError::Panicked { .. }));
        self.result = Some(result.map_err(|error| error.during(self.operation)));
        if is_intact || (shape == Shape::OneStatement && is_known && is_open(connection)) {
            Ran::Cleanly
        } else {
            Ran::Fatally
        }
    }

    fn answer(self: Box<Self>, failure: Option<&StateStoreError>) {
        let result = match (self.result, failure) {
            // Its own error says more than that of the transaction.
            (Some(Err(error)), _) => Err(error),
            (_, Some(failure)) => Err(failure.again().during(self.operation)),
            (Some(result), None) => result,
            (None, None) => Err(StateStoreError::Closed),
        };
        // A caller that is gone doesn't hear it; the write stands.
        let _ = self.reply.send(result);
    }
}

type Batch = Vec<Box<dyn Operation>>;

pub(super) struct WriteLane {
    state: Mutex<LaneState>,
    room: Arc<Semaphore>,
    capacity: usize,
    pool: Pool,
    role: Role,
    runtime: Handle,
    acquire_timeout: Duration,
    busy_timeout: Duration,
    recent: RecentTime,
    finish: Finish,
}

#[derive(Default)]
struct LaneState {
    queue: VecDeque<Box<dyn Operation>>,
    /// The connection, while nobody owns the lane; `None` also before the first write.
    writer: Option<Held>,
    is_owned: bool,
    is_closed: bool,
}

impl WriteLane {
    pub(super) fn new(
        file: &DatabaseFile,
        options: &StoreOptions,
        runtime: Handle,
        finish: Finish,
    ) -> Result<Self, StateStoreError> {
        let role = Role::Writer(options.durability);
        Ok(Self {
            state: Mutex::default(),
            room: Arc::new(Semaphore::new(options.write_queue)),
            capacity: options.write_queue,
            pool: pool(file, role, 1, options)?,
            role,
            runtime,
            acquire_timeout: options.acquire_timeout,
            busy_timeout: options.busy_timeout,
            recent: RecentTime::new(options.inline_budget),
            finish,
        })
    }

    /// Queues an operation, and waits for its answer. Dropping the future before the operation starts withdraws it;
    /// after that it is carried out whole.
    pub(super) async fn submit<T, F>(
        self: &Arc<Self>,
        operation: &'static str,
        shape: Shape,
        core: usize,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut bool) -> Result<T, StateStoreError> + Send + 'static,
    {
        let room = self.room().await?;
        let ticket = Arc::<Ticket>::default();
        let (reply, mut answer) = oneshot::channel();
        let withdraw = Withdraw(Arc::clone(&ticket));
        let queued = Box::new(Queued {
            operation,
            shape,
            work,
            result: None,
            reply,
            ticket,
            core,
            span: Span::current(),
            _room: room,
        });
        if let Some(owner) = self.enqueue(queued)? {
            owner.begin();
        }
        if let Ok(result) = answer.try_recv() {
            // It ran on this thread, without an await: give other tasks their turn.
            tokio::task::consume_budget().await;
            return result;
        }
        let answered = match tokio::time::timeout(self.acquire_timeout, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if withdraw.0.claim(WITHDRAWN) => {
                return Err(StateStoreError::Timeout {
                    operation,
                    waited: self.acquire_timeout,
                });
            }
            Err(_) => answer.await,
        };
        answered.unwrap_or(Err(StateStoreError::Closed))
    }

    /// A place in the queue; waits while it is full.
    async fn room(&self) -> Result<OwnedSemaphorePermit, StateStoreError> {
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(room) => Ok(room),
            Err(TryAcquireError::Closed) => Err(StateStoreError::Closed),
            Err(TryAcquireError::NoPermits) => {
                let room = Arc::clone(&self.room).acquire_owned();
                tokio::time::timeout(self.acquire_timeout, room)
                    .await
                    .map_err(|_| StateStoreError::QueueFull {
                        capacity: self.capacity,
                    })?
                    .map_err(|_| StateStoreError::Closed)
            }
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        operation: Box<dyn Operation>,
    ) -> Result<Option<Owner>, StateStoreError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(StateStoreError::Closed);
        }
        state.queue.push_back(operation);
        if state.is_owned {
            return Ok(None);
        }
        state.is_owned = true;
        Ok(Some(Owner {
            lane: Arc::clone(self),
            writer: state.writer.take(),
            standing: Standing::AtWork,
        }))
    }

    /// Refuses further operations, and hands out the connection to be closed; the queue is empty by then.
    pub(super) fn close(&self) -> Option<Held> {
        let mut state = self.lock();
        state.is_closed = true;
        state.writer.take()
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever runs the queue now. There is one at the most; it never awaits while it holds the connection.
struct Owner {
    lane: Arc<WriteLane>,
    writer: Option<Held>,
    standing: Standing,
}

/// What becomes of the queue if the owner is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was at work, and panicked: another goes on.
    AtWork,
    /// It was on its way to another thread, and the runtime is gone: the queue is answered.
    OnTheWay,
    /// The lane is free.
    Released,
}

/// How a turn ended.
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
    /// Nothing of it was kept, or nobody knows: everybody hears this.
    Failed(StateStoreError),
    /// It never began, for want of the lock.
    Locked(StateStoreError),
    /// The operation at this place took the transaction down with it.
    TakenDown(usize),
}

impl WriteLane {
    /// One transaction over a batch; operations whose callers are gone are taken out.
    fn transaction(&self, connection: &mut SqliteConnection, batch: &mut Batch) -> Ended {
        match begin(connection, "BEGIN IMMEDIATE") {
            Ok(()) => {}
            Err(error @ StateStoreError::Busy { .. }) => return Ended::Locked(error),
            Err(error) => return Ended::Failed(error),
        }
        batch.retain(|operation| operation.start());
        let mut finish = false;
        for (place, operation) in batch.iter_mut().enumerate() {
            if operation.run(connection, &mut finish) == Ran::Fatally {
                return Ended::TakenDown(place);
            }
        }
        if finish {
            if let Err(error) = (self.finish)(connection) {
                rollback(connection);
                return Ended::Failed(error);
            }
        }
        match commit(connection) {
            Ok(()) => Ended::Committed,
            Err(error) => Ended::Failed(error.of_commit("commit")),
        }
    }

    fn next_batch(&self) -> Batch {
        let queue = &mut self.lock().queue;
        let mut batch = Batch::new();
        while batch.len() < BATCH {
            match queue.front() {
                Some(next) if next.shape().is_alone() && !batch.is_empty() => break,
                None => break,
                Some(_) => batch.extend(queue.pop_front()),
            }
            if batch.last().is_some_and(|last| last.shape().is_alone()) {
                break;
            }
        }
        batch
    }

    fn put_back(&self, batch: Batch) {
        let queue = &mut self.lock().queue;
        for operation in batch.into_iter().rev() {
            queue.push_front(operation);
        }
    }

    fn next_is_alone(&self) -> bool {
        let state = self.lock();
        let next = state.queue.front();
        next.is_some_and(|operation| operation.shape().is_alone())
    }

    fn current_runtime(&self) -> Handle {
        Handle::try_current().unwrap_or_else(|_| self.runtime.clone())
    }
}

fn answer_all(batch: Batch, failure: Option<&StateStoreError>) {
    for operation in batch {
        // One that was withdrawn before it started has nobody to hear it.
        if operation.start() {
            operation.answer(failure);
        }
    }
}

impl Owner {
    /// Runs one batch on the caller's thread if that is short, and leaves the rest to the blocking pool.
    fn begin(mut self) {
        if self.writer.is_none() {
            return self.reopen();
        }
        if !self.lane.recent.is_short() || self.lane.next_is_alone() {
            return self.hand_over();
        }
        match self.turn(false) {
            Turn::Done => {
                if let Some(owner) = self.release() {
                    owner.hand_over();
                }
            }
            Turn::Locked => self.hand_over(),
            Turn::Broken => self.reopen(),
        }
    }

    /// Runs batches on a blocking thread until the queue is empty.
    fn drain(mut self) {
        self.standing = Standing::AtWork;
        loop {
            match self.turn(true) {
                Turn::Done | Turn::Locked => match self.release() {
                    Some(owner) => self = owner,
                    None => return,
                },
                Turn::Broken => return self.reopen(),
            }
        }
    }

    fn turn(&mut self, may_wait: bool) -> Turn {
        let Some(mut writer) = self.writer.take() else {
            return Turn::Broken;
        };
        let mut batch = self.lane.next_batch();
        let shape = batch.first().map(|operation| operation.shape());
        let started = Instant::now();
        let lane = &self.lane;
        let ended = writer.run(may_wait, |connection| {
            Ok(match shape {
                None => Ended::Committed,
                Some(Shape::Bare) => {
                    for operation in &mut batch {
                        operation.run(connection, &mut false);
                    }
                    Ended::Committed
                }
                Some(_) => lane.transaction(connection, &mut batch),
            })
        });
        if !shape.is_none_or(Shape::is_alone) {
            lane.recent.note(started.elapsed());
        }
        let is_usable = match ended {
            Ok(Ended::Committed) => {
                answer_all(batch, None);
                shape != Some(Shape::Closure) || writer.configure().is_ok()
            }
            Ok(Ended::Locked(_)) if !may_wait => {
                lane.put_back(batch);
                self.writer = Some(writer);
                return Turn::Locked;
            }
            Ok(Ended::Locked(error)) => {
                answer_all(batch, Some(&error));
                true
            }
            Ok(Ended::TakenDown(place)) => {
                batch.remove(place).answer(None);
                lane.put_back(batch);
                false
            }
            Ok(Ended::Failed(error)) | Err(error) => {
                answer_all(batch, Some(&error));
                false
            }
        };
        self.writer = Some(writer);
        if is_usable { Turn::Done } else { Turn::Broken }
    }

    fn hand_over(mut self) {
        self.standing = Standing::OnTheWay;
        let runtime = self.lane.current_runtime();
        drop(runtime.spawn_blocking(move || self.drain()));
    }

    /// Throws the connection away and opens a new one, then goes on.
    fn reopen(mut self) {
        self.standing = Standing::OnTheWay;
        let runtime = self.lane.current_runtime();
        if let Some(writer) = self.writer.take() {
            let _inside = runtime.enter();
            writer.discard();
        }
        drop(runtime.spawn(async move {
            match self.lane.pool.get().await {
                Ok(object) => {
                    let lane = &self.lane;
                    self.writer = Some(Held::new(object, lane.role, lane.busy_timeout));
                    self.hand_over();
                }
                Err(error) => self.give_up(&pool_error(error, "open")),
            }
        }));
    }

    /// Gives the lane free; gives itself back where there is more to do.
    fn release(mut self) -> Option<Self> {
        let lane = Arc::clone(&self.lane);
        let mut state = lane.lock();
        if !state.queue.is_empty() {
            drop(state);
            return Some(self);
        }
        state.writer = self.writer.take();
        state.is_owned = false;
        self.standing = Standing::Released;
        None
    }

    /// Answers everything that waits with a failure, and gives the lane free.
    fn give_up(&mut self, failure: &StateStoreError) {
        let queue = {
            let mut state = self.lane.lock();
            state.writer = self.writer.take();
            state.is_owned = false;
            std::mem::take(&mut state.queue)
        };
        self.standing = Standing::Released;
        answer_all(queue.into(), Some(failure));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        match self.standing {
            Standing::Released => {}
            Standing::OnTheWay => self.give_up(&StateStoreError::Closed),
            Standing::AtWork => {
                self.standing = Standing::Released;
                let next = Self {
                    lane: Arc::clone(&self.lane),
                    writer: self.writer.take(),
                    standing: Standing::AtWork,
                };
                if next.writer.is_some() {
                    next.hand_over();
                } else {
                    next.reopen();
                }
            }
        }
    }
}
