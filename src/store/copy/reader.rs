//! What a copy reads: the sum of each table, and the rows that the target doesn't have.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::progress::Progress;
use crate::error::StateStoreError;
use crate::models::{CopiedKey, CopiedRows, CopiedTable};
use crate::repository::{Backend, on_table};
use crate::store::core::StoreCore;

/// The rows of a table, in sum.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum {
    pub(super) rows: u64,
    pub(super) hash: Sha256,
    pub(super) last: Option<CopiedKey>,
}

impl Sum {
    pub(super) fn add(&mut self, rows: &CopiedRows) {
        self.rows += rows.len() as u64;
        rows.digest(&mut self.hash);
        if let Some(last) = rows.last_key() {
            self.last = Some(last);
        }
    }

    pub(super) fn hexadecimal(&self) -> String {
        let mut digits = String::new();
        for byte in self.hash.clone().finalize() {
            // Writing to a String can't fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }
}

pub(super) fn compare(
    table: CopiedTable,
    wanted: &Sum,
    found: &Sum,
    when: &'static str,
) -> Result<(), StateStoreError> {
    if wanted.rows == found.rows && wanted.hash.clone().finalize() == found.hash.clone().finalize()
    {
        return Ok(());
    }
    let reason = match wanted.rows == found.rows {
        true => format!("{when} its {} rows differ", found.rows),
        false => format!(
            "{when} it has {} rows where the source has {}",
            found.rows, wanted.rows
        ),
    };
    Err(StateStoreError::NotACopy {
        table: table.name(),
        reason,
    })
}

/// Reads all rows of a store, and returns the sum of each table.
pub(super) async fn survey(
    store: &StoreCore,
    prefix: Option<String>,
    mut progress: Progress,
) -> Result<Vec<Sum>, StateStoreError> {
    // The other end goes where this future is dropped.
    let (caller, _waits) = oneshot::channel::<()>();
    let work = move |backend: &mut Backend<'_>| {
        let mut sums = Vec::new();
        for table in CopiedTable::ALL {
            let mut sum = Sum::default();
            loop {
                if caller.is_closed() {
                    return Err(StateStoreError::Closed);
                }
                let rows = next(backend, *table, sum.last.as_ref(), prefix.as_deref())?;
                if rows.len() == 0 {
                    break;
                }
                sum.add(&rows);
                progress.add(*table, rows.len());
            }
            sums.push(sum);
        }
        Ok(sums)
    };
    store.in_snapshot("copy", work).await
}

pub(super) fn next(
    backend: &mut Backend<'_>,
    table: CopiedTable,
    after: Option<&CopiedKey>,
    prefix: Option<&str>,
) -> Result<CopiedRows, StateStoreError> {
    on_table!(backend, CopyTables, |tables| tables
        .next(table, after, prefix))
}

/// What the source is.
pub(super) struct Read {
    pub(super) sums: Vec<Sum>,
    /// The last number of each table.
    pub(super) numbers: Vec<(CopiedTable, i64)>,
    /// Texts that were changed.
    pub(super) replaced: u64,
}

/// What the reader hands over.
pub(super) enum Part {
    Total(u64),
    Rows(CopiedTable, CopiedRows),
}

/// Reads the source, and hands over what the target doesn't have.
pub(super) struct Reader {
    pub(super) prefix: Option<String>,
    /// Whether NUL characters are replaced, where the target can't keep them.
    pub(super) drop_nul: Option<bool>,
    pub(super) replaced: u64,
    pub(super) parts: mpsc::Sender<Part>,
}

impl Reader {
    pub(super) fn read(
        mut self,
        backend: &mut Backend<'_>,
        there: &[Sum],
    ) -> Result<Read, StateStoreError> {
        let (mut numbers, mut total) = (Vec::new(), 0);
        for table in CopiedTable::ALL {
            let prefix = self.prefix.as_deref();
            let (rows, last) = on_table!(backend, CopyTables, |tables| (
                tables.count(*table, prefix)?,
                tables.last_number(*table)?
            ));
            total += u64::try_from(rows).unwrap_or(0);
            numbers.push((*table, last));
        }
        self.hand_over(Part::Total(total))?;
        // Nothing is written before all that is there has been compared.
        let mut sums = Vec::new();
        for (table, there) in CopiedTable::ALL.iter().zip(there) {
            sums.push(self.read_again(backend, *table, there)?);
        }
        for (table, sum) in CopiedTable::ALL.iter().zip(&mut sums) {
            while let Some(mut rows) = self.next(backend, *table, sum)? {
                self.keep(&mut rows)?;
                sum.add(&rows);
                self.hand_over(Part::Rows(*table, rows))?;
            }
        }
        Ok(Read {
            sums,
            numbers,
            replaced: self.replaced,
        })
    }

    /// Reads the rows that an earlier copy has read, and compares them with what it has left.
    fn read_again(
        &mut self,
        backend: &mut Backend<'_>,
        table: CopiedTable,
        there: &Sum,
    ) -> Result<Sum, StateStoreError> {
        let mut sum = Sum::default();
        if let Some(last) = &there.last {
            while let Some(mut rows) = self.next(backend, table, &sum)? {
                if self.parts.is_closed() {
                    return Err(StateStoreError::Closed);
                }
                let mut known = rows.take_until(last);
                self.keep(&mut known)?;
                sum.add(&known);
                if rows.len() > 0 {
                    break;
                }
            }
        }
        compare(table, &sum, there, "before the copy")?;
        Ok(sum)
    }

    /// Returns the rows behind those of a sum.
    fn next(
        &self,
        backend: &mut Backend<'_>,
        table: CopiedTable,
        sum: &Sum,
    ) -> Result<Option<CopiedRows>, StateStoreError> {
        let rows = next(backend, table, sum.last.as_ref(), self.prefix.as_deref())?;
        Ok((rows.len() > 0).then_some(rows))
    }

    /// Makes rows such that the target can keep them.
    fn keep(&mut self, rows: &mut CopiedRows) -> Result<(), StateStoreError> {
        if let Some(is_replaced) = self.drop_nul {
            self.replaced += rows.drop_nul(is_replaced)?;
        }
        Ok(())
    }

    fn hand_over(&self, part: Part) -> Result<(), StateStoreError> {
        // Whoever has gone says why.
        self.parts
            .blocking_send(part)
            .map_err(|_| StateStoreError::Closed)
    }
}
