//! What a batch collects, and what becomes of it.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::{WriteKind, WriteSize};
use crate::error::{StateStoreError, within};
use crate::models::Scope;
use crate::repository::Backend;
use crate::store::row_locks::RowLocks;

/// The most operations in one batch.
const LIMIT: usize = 10_000;

/// What an operation returns, whatever its type.
pub(super) type Output = Box<dyn Any + Send>;

/// One write that waits for the batch to be committed.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// Whose rows it writes.
    pub(super) scope: Arc<Scope>,
    work: Box<Work>,
}

/// What an operation does. It may be done again, where its transaction was rolled back for another's failure.
type Work = dyn FnMut(&mut Backend<'_>) -> Result<Output, StateStoreError> + Send;

impl Operation {
    pub(super) fn run(&mut self, backend: &mut Backend<'_>) -> Result<Output, StateStoreError> {
        (self.work)(backend)
    }
}

/// The operations of one batch, in their order.
pub(super) struct Operations {
    batch: u64,
    pub(super) list: Vec<Operation>,
    pub(super) size: WriteSize,
    pub(super) locks: RowLocks,
    /// What the largest of them needs.
    kind: Option<WriteKind>,
}

impl Operations {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            batch: NEXT.fetch_add(1, Ordering::Relaxed),
            list: Vec::new(),
            size: WriteSize {
                operations: 0,
                bytes: 0,
            },
            locks: RowLocks::default(),
            kind: None,
        }
    }

    /// Adds an operation; returns the ticket for what it will return.
    ///
    /// # Errors
    /// `TooLarge` above the limit; the batch is as it was.
    pub(super) fn push<T, F>(
        &mut self,
        (name, scope): (&'static str, &Arc<Scope>),
        kind: WriteKind,
        size: WriteSize,
        mut work: F,
    ) -> Result<BatchTicket<T>, StateStoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Backend<'_>) -> Result<T, StateStoreError> + Send + 'static,
    {
        let whole = self.size.plus(size);
        within("batch", whole.operations, LIMIT, "operations")?;
        self.size = whole;
        self.kind = Some(match self.kind {
            None => kind,
            Some(WriteKind::Bulk) => WriteKind::Bulk,
            // One that may touch any number of rows, however few operations there are.
            Some(_) if kind == WriteKind::Bulk => WriteKind::Bulk,
            Some(_) => WriteKind::FewStatements,
        });
        let place = self.list.len();
        self.list.push(Operation {
            name,
            scope: Arc::clone(scope),
            work: Box::new(move |backend| Ok(Box::new(work(backend)?))),
        });
        Ok(BatchTicket {
            batch: self.batch,
            place,
            output: PhantomData,
        })
    }

    pub(super) fn kind(&self) -> WriteKind {
        let kind = self.kind.unwrap_or(WriteKind::SingleStatement);
        kind.of_size(self.size)
    }

    /// Returns the results that the tickets of this batch are for.
    pub(super) fn results(batch: u64, outputs: Vec<Output>) -> BatchResults {
        BatchResults { batch, outputs }
    }

    pub(super) fn batch(&self) -> u64 {
        self.batch
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.list.iter().map(|operation| operation.name);
        formatter.debug_list().entries(names).finish()
    }
}

/// A ticket for what an operation of a batch returns: [`BatchResults::get`] takes it.
pub struct BatchTicket<T> {
    batch: u64,
    place: usize,
    output: PhantomData<fn() -> T>,
}

impl<T> Clone for BatchTicket<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BatchTicket<T> {}

impl<T> fmt::Debug for BatchTicket<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BatchTicket")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// What the operations of a committed batch returned.
pub struct BatchResults {
    batch: u64,
    outputs: Vec<Output>,
}

impl BatchResults {
    /// Returns what the ticket's operation returned.
    ///
    /// # Errors
    /// `InvalidInput` for a ticket of another batch.
    pub fn get<T: Clone + 'static>(&self, ticket: BatchTicket<T>) -> Result<T, StateStoreError> {
        let output = (ticket.batch == self.batch)
            .then(|| self.outputs.get(ticket.place))
            .flatten();
        output
            .and_then(|output| output.downcast_ref::<T>())
            .cloned()
            .ok_or_else(|| StateStoreError::invalid("ticket", "it is of another batch"))
    }

    /// Returns how many operations were committed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Returns whether the batch was empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }
}

impl fmt::Debug for BatchResults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BatchResults")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
