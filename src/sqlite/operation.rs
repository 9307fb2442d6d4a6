//! What waits in the write lane: an operation, its caller's end, and what became of it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use diesel::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Span;

use super::closure::{self, CoreId, caught};
use super::transaction::{in_savepoint, is_open, secret_name};
use crate::error::StateStoreError;

/// How an operation is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One writing statement over one row, which SQLite takes back by itself if it fails. What else it asks, before and
    /// after, can only fail where the connection is broken.
    OneStatement,
    /// A few statements: they need a savepoint.
    SeveralStatements,
    /// Any number of rows: a transaction of its own, and never on a runtime's thread. With a savepoint, SQLite would keep a
    /// copy of every page that it changes.
    Bulk,
    /// A caller's closure: a transaction of its own, on the blocking pool.
    Closure,
    /// No transaction at all, on the blocking pool: a checkpoint, a migration.
    Bare,
}

impl Shape {
    /// Whether it shares its turn with no other.
    pub(super) fn is_alone(self) -> bool {
        matches!(self, Self::Bulk | Self::Closure | Self::Bare)
    }

    /// Whether it may be run on a runtime's thread.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::OneStatement | Self::SeveralStatements)
    }
}

/// What operations leave to be done.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// Something is to be done once before the commit.
    pub(crate) needs_finish: bool,
    /// A caller's closure had the connection itself.
    pub(crate) lent_connection: bool,
}

/// A queued operation, whatever its result.
pub(super) trait Operation: Send {
    fn shape(&self) -> Shape;
    fn is_withdrawn(&self) -> bool;
    /// Claims the operation, also once more; false if its caller is gone.
    fn start(&self) -> bool;
    /// Runs it and keeps its result.
    fn run(&mut self, connection: &mut SqliteConnection, traces: &mut Traces) -> Ran;
    /// Answers with the kept result.
    fn answer(self: Box<Self>);
    /// Answers that its transaction failed, and with it all that the operation did and saw there.
    fn fail(self: Box<Self>, failure: &StateStoreError);
}

pub(super) type Batch = Vec<Box<dyn Operation>>;

/// What became of one operation's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// Done, or failed and left no trace.
    Cleanly,
    /// Failed, and what it wrote has to be rolled back; it has the transaction to itself.
    HalfWay,
    /// Failed, and the transaction may be gone with it.
    Fatally,
}

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Who was first: the owner of the lane who starts the operation, or the caller who withdraws it.
#[derive(Debug, Default)]
pub(super) struct Ticket(AtomicU8);

impl Ticket {
    pub(super) fn start(&self) -> bool {
        self.claim(STARTED)
    }

    pub(super) fn withdraw(&self) -> bool {
        self.claim(WITHDRAWN)
    }

    /// Also true if it was claimed for the same before.
    fn claim(&self, state: u8) -> bool {
        let claimed = self
            .0
            .compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire);
        claimed.is_ok() || claimed == Err(state)
    }

    fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire) == WITHDRAWN
    }
}

/// An operation with its result's type.
pub(super) struct Queued<T, F> {
    pub(super) operation: &'static str,
    pub(super) shape: Shape,
    pub(super) work: F,
    pub(super) result: Option<Result<T, StateStoreError>>,
    pub(super) reply: oneshot::Sender<Result<T, StateStoreError>>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) core: CoreId,
    pub(super) span: Span,
    pub(super) room: OwnedSemaphorePermit,
}

impl<T, F> Operation for Queued<T, F>
where
    T: Send,
    F: FnMut(&mut SqliteConnection, &mut Traces) -> Result<T, StateStoreError> + Send,
{
    fn shape(&self) -> Shape {
        self.shape
    }

    fn is_withdrawn(&self) -> bool {
        self.ticket.is_withdrawn()
    }

    fn start(&self) -> bool {
        self.ticket.start()
    }

    fn run(&mut self, connection: &mut SqliteConnection, traces: &mut Traces) -> Ran {
        let (shape, core, work) = (self.shape, self.core, &mut self.work);
        let (result, is_intact) = self.span.in_scope(|| match shape {
            Shape::OneStatement | Shape::Bulk | Shape::Bare => {
                let result = caught(|| work(connection, traces));
                let is_suspect = matches!(&result, Err(error) if error.may_end_transaction());
                (result, !is_suspect)
            }
            Shape::SeveralStatements => in_savepoint(connection, "operation", |connection| {
                work(connection, traces)
            }),
            Shape::Closure => closure::marked(core, || {
                in_savepoint(connection, &secret_name(), |connection| {
                    work(connection, traces)
                })
            }),
        });
        let is_known = !matches!(result, Err(StateStoreError::Panicked { .. }));
        // Where it panicked, it didn't say.
        traces.lent_connection |= shape == Shape::Closure && !is_known;
        self.result = Some(result.map_err(|error| error.during(self.operation)));
        let has_failed = matches!(self.result, Some(Err(_)));
        if shape == Shape::Bulk && has_failed {
            Ran::HalfWay
        } else if is_intact || (shape == Shape::OneStatement && is_known && is_open(connection)) {
            Ran::Cleanly
        } else {
            Ran::Fatally
        }
    }

    fn answer(self: Box<Self>) {
        let Self {
            result,
            reply,
            work,
            room,
            ..
        } = *self;
        // First, so that a caller who goes on at once finds room.
        drop_quietly(work);
        drop(room);
        // A caller that is gone doesn't hear it; the write stands.
        if let Err(unheard) = reply.send(result.unwrap_or(Err(StateStoreError::Closed))) {
            drop_quietly(unheard);
        }
    }

    fn fail(mut self: Box<Self>, failure: &StateStoreError) {
        let own = self.result.take().and_then(Result::err);
        let error = match own {
            // What it saw of its neighbours' writes never was; that it was refused for its own input still holds.
            Some(error) if self.shape.is_alone() || is_of_its_own(&error) => error,
            _ => failure.again().during(self.operation),
        };
        self.result = Some(Err(error));
        self.answer();
    }
}

/// Whether an error has nothing to do with the rows of the database.
fn is_of_its_own(error: &StateStoreError) -> bool {
    matches!(
        error,
        StateStoreError::InvalidInput { .. }
            | StateStoreError::TooLarge { .. }
            | StateStoreError::SerializationError(_)
            | StateStoreError::Panicked { .. }
    )
}

/// Drops what is the caller's own: should that panic, the lane goes on.
fn drop_quietly<T>(value: T) {
    let _: Result<(), Box<dyn Any + Send>> =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
}
