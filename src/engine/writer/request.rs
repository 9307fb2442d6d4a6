//! What waits in the write queue: one operation, the end that its caller holds, and what became of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use diesel::SqliteConnection;
use tokio::sync::oneshot;
use tracing::Span;

use super::kind::{WriteKind, WriteSize};
use super::room::Room;
use crate::commit_notes::CommitNotes;
use crate::engine::runtime::catch_panic;
use crate::engine::transaction::{DatabaseId, as_closure_of, in_savepoint, is_open, run_alone};
use crate::error::{ErrorKind, StateStoreError};

/// A queued write, whatever the type of its result.
pub(super) trait Request: Send {
    fn kind(&self) -> WriteKind;
    fn size(&self) -> WriteSize;
    fn operation(&self) -> &'static str;
    fn is_withdrawn(&self) -> bool;
    /// Claims the request, also a second time; returns false if its caller is gone.
    fn start(&self) -> bool;
    /// Runs it and keeps its result. `guarded` is whether one of several statements has a savepoint, so that its failure
    /// leaves its neighbours as they are.
    fn run(
        &mut self,
        connection: &mut SqliteConnection,
        notes: &mut CommitNotes,
        guarded: bool,
    ) -> Ran;
    /// Returns whether it ran and succeeded.
    fn has_succeeded(&self) -> bool;
    /// Returns whether it failed for want of space on the disk.
    fn has_found_disk_full(&self) -> bool;
    /// Answers with the kept result.
    fn answer(self: Box<Self>);
    /// Answers that its transaction failed, and with it all that the request did and saw there.
    fn fail(self: Box<Self>, failure: &StateStoreError);
}

/// Requests that share one transaction, and one commit.
pub(super) type WriteGroup = Vec<Box<dyn Request>>;

/// What became of one request's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// Done, or failed and left nothing behind.
    Cleanly,
    /// Failed, and what it wrote has to be rolled back with the whole transaction.
    HalfWay,
    /// Failed, and the transaction may be gone with it.
    Fatally,
}

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Decides who was first: the leader who starts the request, or the caller who withdraws it.
#[derive(Debug, Default)]
pub(super) struct Ticket(AtomicU8);

impl Ticket {
    pub(super) fn start(&self) -> bool {
        self.claim(STARTED)
    }

    pub(super) fn withdraw(&self) -> bool {
        self.claim(WITHDRAWN)
    }

    /// Claims it; also true if it was claimed for the same before.
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

/// A request with the type of its result.
pub(super) struct TypedRequest<T, F> {
    pub(super) operation: &'static str,
    pub(super) kind: WriteKind,
    pub(super) size: WriteSize,
    pub(super) work: F,
    pub(super) result: Option<Result<T, StateStoreError>>,
    pub(super) reply: oneshot::Sender<Result<T, StateStoreError>>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) database: DatabaseId,
    pub(super) span: Span,
    pub(super) room: Room,
}

impl<T, F> Request for TypedRequest<T, F>
where
    T: Send,
    F: FnMut(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError> + Send,
{
    fn kind(&self) -> WriteKind {
        self.kind
    }

    fn size(&self) -> WriteSize {
        self.size
    }

    fn operation(&self) -> &'static str {
        self.operation
    }

    fn is_withdrawn(&self) -> bool {
        self.ticket.is_withdrawn()
    }

    fn start(&self) -> bool {
        self.ticket.start()
    }

    fn run(
        &mut self,
        connection: &mut SqliteConnection,
        notes: &mut CommitNotes,
        guarded: bool,
    ) -> Ran {
        let (kind, database, work) = (self.kind, self.database, &mut self.work);
        let (result, is_intact) = self.span.in_scope(|| match kind {
            WriteKind::FewStatements if guarded => {
                in_savepoint(connection, "operation", |connection| {
                    work(connection, notes)
                })
            }
            WriteKind::Closure(_) => as_closure_of(database, || run_alone(connection, notes, work)),
            _ => {
                let result = catch_panic(|| work(connection, notes));
                // SQLite may have ended the transaction: whoever fails is asked.
                let is_suspect = matches!(&result, Err(error) if error.may_end_transaction());
                (result, !is_suspect)
            }
        });
        let has_panicked = matches!(result, Err(StateStoreError::Panicked { .. }));
        let has_failed = result.is_err();
        self.result = Some(result.map_err(|error| error.during(self.operation)));
        let is_half_way = has_failed
            && match kind {
                WriteKind::FewStatements => !guarded,
                WriteKind::Bulk => true,
                WriteKind::Closure(_) => is_intact,
                WriteKind::SingleStatement | WriteKind::OutsideTransaction => false,
            };
        if is_half_way {
            Ran::HalfWay
        } else if is_intact
            || (kind == WriteKind::SingleStatement && !has_panicked && is_open(connection))
        {
            Ran::Cleanly
        } else {
            Ran::Fatally
        }
    }

    fn has_succeeded(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }

    fn has_found_disk_full(&self) -> bool {
        matches!(&self.result, Some(Err(error)) if error.kind() == ErrorKind::DiskFull)
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
            // What it saw of its neighbours' writes never happened; that it was refused for its own input still holds.
            Some(error) if self.kind.is_exclusive() || is_of_its_own(&error) => error,
            _ => failure.again().during(self.operation),
        };
        self.result = Some(Err(error));
        self.answer();
    }
}

/// Returns whether an error has nothing to do with the rows of the database.
fn is_of_its_own(error: &StateStoreError) -> bool {
    matches!(
        error,
        StateStoreError::InvalidInput { .. }
            | StateStoreError::TooLarge { .. }
            | StateStoreError::SerializationError(_)
            | StateStoreError::Panicked { .. }
    )
}

/// Drops what is the caller's own: should that panic, the leader goes on.
fn drop_quietly<T>(value: T) {
    let _: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| drop(value)));
}
