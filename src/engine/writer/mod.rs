//! The writer: one connection, and group commit.
//!
//! A caller puts its request into the queue; whoever finds the queue without a leader becomes the [`Leader`], opens one
//! immediate transaction, runs queued requests in it (a *write group*: up to 256 operations), commits once, and answers all. An idle
//! store therefore costs no hop to another thread, and a busy one shares each fsync. (RocksDB and raft-engine call the same
//! thing so; in the literature it is *flat combining*.)
//!
//! - The leader never awaits. What is queued when its group is done goes to the blocking pool: the *hand-over*.
//! - A request owns its data; one that was withdrawn before it started is skipped.
//! - A request that fails leaves its neighbours untouched. One writing statement is taken back by SQLite; where one of several
//!   statements fails, the group is rolled back and run again, with a savepoint for each. Where SQLite rolls the whole group
//!   back because of it, the others run again without it.
//! - A bulk write and a caller's closure are never grouped: each has a transaction to itself, on the blocking pool, and is
//!   rolled back by that. A checkpoint or a migration has none.

mod context;
mod group;
mod index_schedule;
mod indexing;
mod kind;
mod leader;
mod queue;
mod request;
mod room;
mod turn;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use diesel::SqliteConnection;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tracing::Span;

use super::adaptive::{ArrivalPredictor, LatencyPredictor};
use super::connection::OwnConnection;
use super::event_indexer::EventIndexer;
use super::file::DatabaseFile;
use super::options::StoreOptions;
use super::pragma::Role;
use super::runtime::{AcquireTimeout, yield_after};
use super::transaction::DatabaseId;
use super::turnstile::Turnstile;
use super::wal::Checkpointer;
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
pub(super) use context::OpenDatabase;
use context::{Context, Guards};
use index_schedule::queue_block;
use indexing::Indexing;
pub(crate) use kind::{WriteKind, WriteSize};
use leader::Leader;
use queue::WriteQueue;
use request::{Ticket, TypedRequest};

pub(super) struct Writer {
    context: Arc<Context>,
    timeout: Arc<AcquireTimeout>,
}

/// Whose request it is: the database, which stays open as long as the work takes; and how large it is.
pub(super) struct Submitter {
    pub(super) database: DatabaseId,
    pub(super) keep_alive: Arc<dyn OpenDatabase>,
    pub(super) size: WriteSize,
}

impl Writer {
    pub(super) fn new(
        file: &DatabaseFile,
        options: &StoreOptions,
        runtime: Handle,
        timeout: Arc<AcquireTimeout>,
        checkpointer: Arc<Checkpointer>,
        indexer: &'static dyn EventIndexer,
    ) -> Self {
        let context = Context {
            queue: WriteQueue::new(options.write_queue, options.write_queue_bytes),
            file: file.clone(),
            role: Role::Writer(options.durability),
            busy_timeout: options.busy_timeout,
            runtime,
            latency: LatencyPredictor::new(options.inline_budget),
            company: ArrivalPredictor::default(),
            returning: ArrivalPredictor::default(),
            turnstile: Turnstile::new(),
            checkpointer,
            indexing: Arc::new(Indexing::new(indexer)),
            guards: Guards::default(),
            is_unsettled: AtomicBool::new(false),
            needs_space: AtomicBool::new(false),
            marks_log: AtomicBool::new(true),
        };
        Self {
            context: Arc::new(context),
            timeout,
        }
    }

    /// Queues a request, and waits for its answer. Dropping the future before the request starts withdraws it; after that
    /// it is carried out whole.
    pub(super) async fn submit<T, F>(
        &self,
        operation: &'static str,
        kind: WriteKind,
        submitter: Submitter,
        work: F,
    ) -> Result<T, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut CommitNotes) -> Result<T, StateStoreError>
            + Send
            + 'static,
    {
        let Context { queue, company, .. } = &*self.context;
        let room = queue.room(submitter.size.bytes, &self.timeout).await?;
        let ticket = Arc::<Ticket>::default();
        let (reply, mut answer) = oneshot::channel();
        let withdrawal = Withdrawal {
            ticket: Arc::clone(&ticket),
            queue,
        };
        let lacks_leader = queue.push(Box::new(TypedRequest {
            operation,
            kind,
            size: submitter.size,
            work,
            result: None,
            reply,
            ticket,
            database: submitter.database,
            span: Span::current(),
            room,
        }))?;
        if lacks_leader && company.is_expected() {
            // Others that are about to write get their turn to queue first, and share the commit.
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        if lacks_leader && let Some(connection) = queue.lead() {
            let context = Arc::clone(&self.context);
            Leader::new(context, submitter.keep_alive, connection).run_inline();
        }
        match answer.try_recv() {
            Ok(result) => {
                // It ran on this thread, without an await.
                yield_after(started.elapsed(), company.is_expected()).await;
                return result;
            }
            Err(TryRecvError::Closed) => return Err(withdrawal.unanswered(operation)),
            Err(TryRecvError::Empty) => {}
        }
        let answered = match self.timeout.wait(&mut answer).await {
            Some(answered) => answered,
            None if withdrawal.ticket.withdraw() => {
                return Err(StateStoreError::Timeout {
                    operation,
                    waited: self.timeout.limit(),
                    reason: queue.holder(),
                });
            }
            // It has started, and will be answered, however long that takes.
            None => answer.await,
        };
        answered.unwrap_or_else(|_| Err(withdrawal.unanswered(operation)))
    }

    /// Returns what is known of the events that wait to be indexed.
    pub(super) fn indexing(&self) -> &Arc<Indexing> {
        &self.context.indexing
    }

    /// Has everything indexed that waits, as a write that nobody waits for.
    pub(super) fn index_soon(&self, keep_alive: Arc<dyn OpenDatabase>) {
        let context = &self.context;
        if queue_block(context)
            && let Some(connection) = context.queue.lead()
        {
            Leader::new(Arc::clone(context), keep_alive, connection).hand_over();
        }
    }

    /// Refuses further requests, and returns the connection to be closed; the queue is empty by then.
    pub(super) fn close(&self) -> Option<OwnConnection> {
        self.context.queue.close()
    }
}

/// The caller's end of a request: dropping it withdraws one that hasn't started.
struct Withdrawal<'q> {
    ticket: Arc<Ticket>,
    queue: &'q WriteQueue,
}

impl Withdrawal<'_> {
    /// Returns what it means that the request went without an answer.
    fn unanswered(&self, operation: &'static str) -> StateStoreError {
        if self.ticket.withdraw() {
            return StateStoreError::Closed;
        }
        StateStoreError::OutcomeUnknown {
            operation,
            cause: "the thread that wrote it ended".into(),
        }
    }
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if self.ticket.withdraw() {
            self.queue.withdraw();
        }
    }
}
