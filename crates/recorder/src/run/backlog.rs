//! What waits to be written, oldest first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::life::Exited;
use super::queue::{EVENT_BYTES, Queued, Receipt};
use crate::entries::{Entries, EntryReader, Refused};

/// The most lines of one transaction.
const BATCH_LINES: usize = 4096;
/// Bytes of lines at which a transaction takes no further one.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Lines that commit together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Arc<Entries>,
    bytes: usize,
    /// That the command has exited, after these lines.
    pub(super) exited: Option<Exited>,
    /// Whether its lines came, or were tried, while the store failed.
    pub(super) is_late: bool,
    /// One for each event, in their order.
    receipts: Vec<Receipt>,
}

impl Batch {
    /// Tells the lines that they are kept, but for those that were refused.
    pub(super) fn kept(self, refused: &Refused) {
        let mut refused = refused.events.iter().peekable();
        for (place, receipt) in self.receipts.into_iter().enumerate() {
            if refused.next_if(|refused| **refused == place).is_none() {
                receipt.kept();
            }
        }
    }

    fn is_full(&self) -> bool {
        self.exited.is_some() || self.entries.rows() >= BATCH_LINES || self.bytes >= BATCH_BYTES
    }
}

/// Batches in the order of their lines.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Backlog {
    /// Adds a line; it shares the last batch while that has room, and nobody writes it.
    pub(super) fn add(&mut self, line: Queued, reader: &mut EntryReader, is_late: bool) {
        let Queued { line, receipt } = line;
        let bytes = line.bytes.len() + EVENT_BYTES;
        let is_closed = |batch: &Batch| batch.is_late != is_late || batch.is_full();
        if self.batches.back().is_none_or(is_closed) {
            self.batches.push_back(Batch {
                is_late,
                ..Batch::default()
            });
        }
        let Some(batch) = self.batches.back_mut() else {
            return;
        };
        // Nobody else has it: a batch that is being written was taken out.
        if let Some(entries) = Arc::get_mut(&mut batch.entries) {
            reader.add(line, entries);
        }
        batch.bytes += bytes;
        self.bytes += bytes;
        batch.receipts.push(receipt);
    }

    /// Adds that the command has exited, after all the lines that have come.
    pub(super) fn add_exit(&mut self, exited: Exited, is_late: bool) {
        self.batches.push_back(Batch {
            exited: Some(exited),
            is_late,
            ..Batch::default()
        });
    }

    /// Takes the oldest batch out, to be written.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.bytes;
        Some(batch)
    }

    /// Puts a batch back that could not be written: nothing newer is written before it.
    pub(super) fn put_back(&mut self, mut batch: Batch) {
        batch.is_late = true;
        self.bytes += batch.bytes;
        self.batches.push_front(batch);
    }

    /// Gives back the room that all of them hold: the command is not to wait for a store that fails.
    pub(super) fn release_rooms(&mut self) {
        for batch in &mut self.batches {
            batch.receipts.iter_mut().for_each(Receipt::release_room);
        }
    }

    /// Gives everything up; returns how many events that are.
    pub(super) fn abandon(&mut self) -> u64 {
        self.bytes = 0;
        let batches = self.batches.drain(..);
        batches.map(|batch| batch.entries.events() as u64).sum()
    }

    /// Returns the bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Returns whether a whole batch waits, or more.
    pub(super) fn has_full_batch(&self) -> bool {
        self.batches.len() > 1 || self.batches.front().is_some_and(Batch::is_full)
    }
}
