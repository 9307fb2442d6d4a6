//! How much a read may read on the thread of its caller.

use std::cell::Cell;

use crate::error::StateStoreError;

/// Counts what a read reads, and stops it where that is too much for the thread that it runs on: it is then run again, on a
/// thread that may take its time.
#[derive(Debug)]
pub(crate) struct ReadBudget {
    /// `None` where it may take its time.
    bytes: Option<usize>,
    spent: Cell<usize>,
    rows: Cell<usize>,
    is_exceeded: Cell<bool>,
    is_index_behind: Cell<bool>,
}

impl ReadBudget {
    pub(crate) fn new(bytes: Option<usize>) -> Self {
        Self {
            bytes,
            spent: Cell::new(0),
            rows: Cell::new(0),
            is_exceeded: Cell::new(false),
            is_index_behind: Cell::new(false),
        }
    }

    /// Counts a row before it is decoded.
    ///
    /// # Errors
    /// Where it is too much; nobody hears which, since the read is run again.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), StateStoreError> {
        let spent = self.spent.get().saturating_add(bytes);
        self.spent.set(spent);
        self.rows.set(self.rows.get() + 1);
        match self.bytes {
            Some(most) if spent > most => Err(self.stop()),
            _ => Ok(()),
        }
    }

    /// Ends a read that turns out to be too long for this thread; it is an error to return.
    fn stop(&self) -> StateStoreError {
        self.is_exceeded.set(true);
        StateStoreError::Busy { operation: "read" }
    }

    /// Ends a read that goes on with what takes longer, where that isn't for this thread.
    ///
    /// # Errors
    /// As [`spend`](Self::spend).
    pub(crate) fn check_unlimited(&self) -> Result<(), StateStoreError> {
        match self.bytes {
            Some(_) => Err(self.stop()),
            None => Ok(()),
        }
    }

    /// Takes note that a search looked itself through more rows than usually wait to be indexed.
    pub(crate) fn miss_index(&self) {
        self.is_index_behind.set(true);
    }

    pub(crate) fn is_index_behind(&self) -> bool {
        self.is_index_behind.get()
    }

    /// Returns how many rows were read.
    pub(crate) fn rows(&self) -> usize {
        self.rows.get()
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }
}

#[cfg(test)]
mod tests {
    use super::ReadBudget;

    #[test]
    fn a_read_stops_at_the_row_that_is_too_much() {
        let budget = ReadBudget::new(Some(10));
        assert!(budget.spend(4).is_ok() && budget.spend(6).is_ok());
        assert!(!budget.is_exceeded());
        assert!(budget.spend(1).is_err());
        assert!(budget.is_exceeded());
        assert_eq!(budget.rows(), 3);
    }

    #[test]
    fn a_size_that_nobody_knows_is_too_much_where_there_is_a_limit() {
        assert!(ReadBudget::new(Some(10)).spend(usize::MAX).is_err());
        let unlimited = ReadBudget::new(None);
        assert!(unlimited.spend(usize::MAX).is_ok() && unlimited.spend(usize::MAX).is_ok());
    }
}
