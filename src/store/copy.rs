//! Copies from store to store, whatever their databases are.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::AnyStateStore;
use super::core::StoreCore;
use super::row_locks::RowLocks;
use crate::engine::{WriteKind, WriteSize};
use crate::error::StateStoreError;
use crate::models::{CopiedKey, CopiedRows, CopiedTable};
use crate::namespace::Namespace;
use crate::repository::{Backend, on_table};

/// Who hears how far a copy has come.
type Notify = Arc<dyn Fn(&CopyProgress) + Send + Sync>;

/// What is copied, and who hears of it.
///
/// ```
/// use descartes_state::CopyOptions;
///
/// let options = CopyOptions::default()
///     .prefix("tenant_a")
///     .on_progress(|progress| eprintln!("{} of {} rows", progress.rows, progress.total));
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct CopyOptions {
    prefix: Option<String>,
    replaces_nul: bool,
    notify: Option<Notify>,
}

impl fmt::Debug for CopyOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CopyOptions")
            .field("prefix", &self.prefix)
            .field("replaces_nul", &self.replaces_nul)
            .finish_non_exhaustive()
    }
}

impl CopyOptions {
    /// Copies only what is under this prefix (the rows of every prefix, and those without one); "" copies what has none.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets whether U+FFFD takes the place of a NUL character in a text, where the target can keep none (no: such a text is
    /// `InvalidInput`). States keep it.
    #[must_use]
    pub fn replace_nul(mut self, is_replaced: bool) -> Self {
        self.replaces_nul = is_replaced;
        self
    }

    /// Calls a function after each part, some thousand times a second at the most. It is called on a runtime's thread, so it must not
    /// wait for anything.
    #[must_use]
    pub fn on_progress(mut self, notify: impl Fn(&CopyProgress) + Send + Sync + 'static) -> Self {
        self.notify = Some(Arc::new(notify));
        self
    }
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// The table that it is at.
    pub table: &'static str,
    /// Rows that are there, of all tables; or that were checked.
    pub rows: u64,
    /// Rows of all tables.
    pub total: u64,
    /// Whether they are in the target, and are read once more to check them.
    pub is_verifying: bool,
}

/// What a copy has made sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Each table, with what is in both stores now.
    pub tables: Vec<TableCopy>,
    /// In how many texts U+FFFD took the place of NUL characters.
    pub replaced_nul: u64,
}

/// A table that is the same in both stores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableCopy {
    /// Its name.
    pub table: &'static str,
    /// The rows that it has, as far as they were to be copied.
    pub rows: u64,
    /// Those of them that weren't there before.
    pub copied: u64,
    /// The SHA-256 of their contents in order, in hexadecimal digits: the same on every database.
    pub sha256: String,
}

/// Copies a store into another one, which holds nothing else: agents with their revisions, transitions, snapshots, events with their
/// numbers, tasks, sessions, and what keeps numbers and revisions from coming again. The prefixes of the two handles don't count.
///
/// The source is read as it is at one moment, so others may go on writing to it, though what they write isn't copied. It comes in
/// parts of at most 512 rows or 4 MiB, each committed in the target; what only grows (events, transitions) comes first. A copy that
/// ended early goes on where it was when it is made once more, if what it has copied is unchanged in the source. (On a server that is
/// written to, a transaction that was slow may have added a row below those; then the copy has to begin anew.) At the end both are
/// compared, by the count and the SHA-256 of each table. Nobody else may write to the target meanwhile. Initialize it first.
///
/// With a prefix, the target may hold others of the same source: numbers are given once for all of them. Rows of another one that have
/// the same numbers end the copy when it comes to them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use descartes_state::{AnyStateStore, CopyOptions, SqliteStateStore, copy_store};
///
/// let from: AnyStateStore = SqliteStateStore::temporary().await?.into();
/// let to: AnyStateStore = SqliteStateStore::temporary().await?.into();
/// let report = copy_store(&from, &to, CopyOptions::default()).await?;
/// assert!(report.tables.iter().all(|table| table.rows == 0));
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
/// Dropping the future ends the copy after the part that is being written; where it is comparing, once that is done.
///
/// # Errors
/// `NotACopy` where the target holds something else; `InvalidInput` for a text that the target can't keep; `Corrupt` for a row that
/// can't be read; otherwise those of both stores.
pub async fn copy_store(
    from: &AnyStateStore,
    to: &AnyStateStore,
    options: CopyOptions,
) -> Result<CopyReport, StateStoreError> {
    let prefix = match &options.prefix {
        Some(prefix) => Some(Namespace::new(prefix)?.as_str().to_owned()),
        None => None,
    };
    let (source, target) = (from.core(), to.core());
    let there = survey(target, prefix.clone(), Progress::default()).await?;
    let drop_nul = (!to.limits().keeps_nul()).then_some(options.replaces_nul);
    let (parts, received) = mpsc::channel(1);
    let reading = {
        let (prefix, there) = (prefix.clone(), there.clone());
        source.in_snapshot("copy", move |backend| {
            Reader {
                prefix,
                drop_nul,
                replaced: 0,
                parts,
            }
            .read(backend, &there)
        })
    };
    let mut progress = Progress {
        notify: options.notify.clone(),
        rows: there.iter().map(|sum| sum.rows).sum(),
        ..Progress::default()
    };
    let (read, written) = tokio::join!(reading, write(target, received, &mut progress));
    // Where the target fails, the reader finds nobody who takes what it has read.
    written?;
    let read = read?;
    raise_numbers(target, read.numbers).await?;
    let verifying = Progress {
        is_verifying: true,
        rows: 0,
        ..progress
    };
    let now = survey(target, prefix, verifying).await?;
    let mut tables = Vec::new();
    for (((table, wanted), now), before) in
        CopiedTable::ALL.iter().zip(read.sums).zip(now).zip(there)
    {
        compare(*table, &wanted, &now, "after the copy")?;
        tables.push(TableCopy {
            table: table.name(),
            rows: now.rows,
            copied: now.rows - before.rows,
            sha256: now.hexadecimal(),
        });
    }
    Ok(CopyReport {
        tables,
        replaced_nul: read.replaced,
    })
}

/// The rows of a table, in sum.
#[derive(Debug, Clone, Default)]
struct Sum {
    rows: u64,
    hash: Sha256,
    last: Option<CopiedKey>,
}

impl Sum {
    fn add(&mut self, rows: &CopiedRows) {
        self.rows += rows.len() as u64;
        rows.digest(&mut self.hash);
        if let Some(last) = rows.last_key() {
            self.last = Some(last);
        }
    }

    fn hexadecimal(&self) -> String {
        let mut digits = String::new();
        for byte in self.hash.clone().finalize() {
            // Writing to a String can't fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }
}

fn compare(
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

/// Tells how far it is.
#[derive(Clone, Default)]
struct Progress {
    notify: Option<Notify>,
    rows: u64,
    total: u64,
    is_verifying: bool,
}

impl Progress {
    fn add(&mut self, table: CopiedTable, rows: usize) {
        self.rows += rows as u64;
        if let Some(notify) = &self.notify {
            notify(&CopyProgress {
                table: table.name(),
                rows: self.rows,
                total: self.total,
                is_verifying: self.is_verifying,
            });
        }
    }
}

/// Reads all rows of a store, and returns the sum of each table.
async fn survey(
    store: &StoreCore,
    prefix: Option<String>,
    mut progress: Progress,
) -> Result<Vec<Sum>, StateStoreError> {
    let work = move |backend: &mut Backend<'_>| {
        let mut sums = Vec::new();
        for table in CopiedTable::ALL {
            let mut sum = Sum::default();
            loop {
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

fn next(
    backend: &mut Backend<'_>,
    table: CopiedTable,
    after: Option<&CopiedKey>,
    prefix: Option<&str>,
) -> Result<CopiedRows, StateStoreError> {
    on_table!(backend, CopyTables, |tables| tables
        .next(table, after, prefix))
}

/// What the source is.
struct Read {
    sums: Vec<Sum>,
    /// The last number of each table.
    numbers: Vec<(CopiedTable, i64)>,
    /// Texts that were changed.
    replaced: u64,
}

/// What the reader hands over.
enum Part {
    Total(u64),
    Rows(CopiedTable, CopiedRows),
}

/// Reads the source, and hands over what the target doesn't have.
struct Reader {
    prefix: Option<String>,
    /// Whether NUL characters are replaced, where the target can't keep them.
    drop_nul: Option<bool>,
    replaced: u64,
    parts: mpsc::Sender<Part>,
}

impl Reader {
    fn read(mut self, backend: &mut Backend<'_>, there: &[Sum]) -> Result<Read, StateStoreError> {
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
            while let Some(rows) = self.next(backend, *table, sum)? {
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
                let known = rows.take_until(last);
                sum.add(&known);
                if rows.len() > 0 {
                    break;
                }
            }
        }
        compare(table, &sum, there, "before the copy")?;
        Ok(sum)
    }

    /// Returns the rows behind those of a sum, as the target can keep them.
    fn next(
        &mut self,
        backend: &mut Backend<'_>,
        table: CopiedTable,
        sum: &Sum,
    ) -> Result<Option<CopiedRows>, StateStoreError> {
        let mut rows = next(backend, table, sum.last.as_ref(), self.prefix.as_deref())?;
        if let Some(is_replaced) = self.drop_nul {
            self.replaced += rows.drop_nul(is_replaced)?;
        }
        Ok((rows.len() > 0).then_some(rows))
    }

    fn hand_over(&self, part: Part) -> Result<(), StateStoreError> {
        // Whoever has gone says why.
        self.parts
            .blocking_send(part)
            .map_err(|_| StateStoreError::Closed)
    }
}

/// Writes what is handed over.
async fn write(
    target: &StoreCore,
    mut parts: mpsc::Receiver<Part>,
    progress: &mut Progress,
) -> Result<(), StateStoreError> {
    while let Some(part) = parts.recv().await {
        let (table, rows) = match part {
            Part::Total(total) => {
                progress.total = total;
                continue;
            }
            Part::Rows(table, rows) => (table, rows),
        };
        let (count, bytes) = (rows.len(), rows.bytes());
        let size = WriteSize {
            operations: count,
            bytes,
        };
        let insert = move |backend: &mut Backend<'_>| {
            on_table!(backend, CopyTables, |tables| tables.insert(&rows))
        };
        target
            .write("copy", WriteKind::Bulk, size, RowLocks::default(), insert)
            .await
            .map_err(|error| match error.is_duplicate() {
                true => StateStoreError::NotACopy {
                    table: table.name(),
                    reason: format!(
                        "a number or id is taken by a row of another prefix, or by somebody who writes at the same time: {error}"
                    ),
                },
                false => error,
            })?;
        progress.add(table, count);
    }
    Ok(())
}

/// Makes the target give only numbers above those of the source.
async fn raise_numbers(
    target: &StoreCore,
    numbers: Vec<(CopiedTable, i64)>,
) -> Result<(), StateStoreError> {
    let size = WriteSize {
        operations: numbers.len(),
        bytes: 0,
    };
    target
        .write(
            "copy",
            WriteKind::FewStatements,
            size,
            RowLocks::default(),
            move |backend| {
                on_table!(backend, CopyTables, |tables| numbers.iter().try_for_each(
                    |(table, number)| tables.raise_number(*table, *number)
                ))
            },
        )
        .await
}
