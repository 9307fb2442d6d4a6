//! `rusqlite`, `rusqlite-64` and `rusqlite-fts`: one thread, one connection, no queue. What others are measured by.

use anyhow::{Result, bail};
use harness::{Operation, Setup, Synchronous, statements};
use rusqlite::Connection;

use super::raw;

pub(super) struct Rusqlite {
    connection: Connection,
    setup: Setup,
    batch: usize,
    by_index: bool,
}

impl Rusqlite {
    /// With so many operations a transaction; `by_index` searches by the full-text index.
    pub(super) fn open(setup: Setup, batch: usize, by_index: bool) -> Result<Self> {
        let connection = Connection::open(&setup.path)?;
        raw::configure(&connection, setup.workload.durability)?;
        raw::check(&connection, setup.workload.durability)?;
        Ok(Self {
            connection,
            setup,
            batch,
            by_index,
        })
    }

    fn find(&self, operations: &[Operation]) -> Result<Vec<usize>> {
        let [Operation::Search] = operations else {
            bail!("rusqlite-fts only searches");
        };
        // As our store asks: events without a namespace carry the word `n`.
        let expression = format!(
            "namespace_word : \"n\" AND content : (\"{}\")",
            self.setup.inputs.word()
        );
        let rows = raw::events(&self.connection, statements::MATCH_EVENTS, &expression)?;
        Ok(vec![rows])
    }
}

impl Synchronous for Rusqlite {
    fn batch(&self) -> usize {
        self.batch
    }

    fn perform(&mut self, operations: &mut Vec<Operation>) -> Result<Vec<usize>> {
        if self.by_index {
            return self.find(operations);
        }
        if let [operation] = operations.as_slice() {
            return Ok(vec![raw::perform(
                &self.connection,
                &self.setup,
                operation,
            )?]);
        }
        raw::transaction(&self.connection, |connection| {
            let rows = operations
                .iter()
                .map(|operation| raw::within(connection, &self.setup, operation))
                .collect::<Result<_>>()?;
            // Once a transaction, however many events it has.
            if let Some(last) = operations.last() {
                raw::finish(connection, last)?;
            }
            Ok(rows)
        })
    }
}
