//! Copies from store to store, whatever their databases are.

mod progress;
mod reader;

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::AnyStateStore;
use super::core::StoreCore;
use super::row_locks::RowLocks;
use crate::engine::{WriteKind, WriteSize};
use crate::error::StateStoreError;
use crate::models::CopiedTable;
use crate::namespace::Namespace;
use crate::repository::{Backend, on_table};
pub use progress::CopyProgress;
use progress::{Notify, Progress};
use reader::{Part, Reader, compare, survey};

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

    /// Calls a function after each part, on a thread of the runtime's or of its blocking pool. It must not wait for anything.
    #[must_use]
    pub fn on_progress(mut self, notify: impl Fn(&CopyProgress) + Send + Sync + 'static) -> Self {
        self.notify = Some(Arc::new(notify));
        self
    }
}

/// What a copy has made sure of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Each table, with what is in both stores now.
    pub tables: Vec<TableCopy>,
    /// In how many texts U+FFFD has taken the place of NUL characters, those of an earlier copy that went on here too.
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
/// Dropping the future ends the copy after the part that is being written or compared.
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
