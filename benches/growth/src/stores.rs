//! A store in a directory of its own, that is closed and opened again between the steps of the run.

use std::path::Path;

use descartes_state::diesel::dsl::sql;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::Text;
use descartes_state::{Cursor, Durability, PageRequest, SqliteStateStore, StoreOptions};
use tempfile::TempDir;

use crate::Failure;

/// Where a store lives.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self(tempfile::tempdir()?))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Opens the store. Only one may be open at a time: stores on one file share the first one's durability.
    pub(crate) async fn open(&self, durability: Durability) -> Result<SqliteStateStore, Failure> {
        let options = StoreOptions::default().durability(durability);
        let store = SqliteStateStore::open(self.0.path().join("state.db"), options).await?;
        store.initialize().await?;
        Ok(store)
    }

    /// The size of the database file; a store that was closed has no other.
    pub(crate) fn file_bytes(&self) -> Result<u64, Failure> {
        Ok(std::fs::metadata(self.0.path().join("state.db"))?.len())
    }
}

pub(crate) async fn sqlite_version() -> Result<String, Failure> {
    let store = SqliteStateStore::temporary().await?;
    let version = store
        .read(|tx| {
            let version = descartes_state::diesel::select(sql::<Text>("sqlite_version()"));
            Ok(version.get_result(tx.sqlite()?)?)
        })
        .await?;
    store.close().await?;
    Ok(version)
}

/// Cursors to the middle fifth of a list, as somebody who turns its pages comes by them. `list` returns a page's rows and
/// the cursor after it.
pub(crate) async fn middle(
    rows: u64,
    list: impl AsyncFn(&PageRequest) -> Result<(usize, Option<Cursor>), Failure>,
) -> Result<Vec<Cursor>, Failure> {
    let turned = u32::try_from(rows / 20)?.min(10_000);
    let mut page = PageRequest::new(turned);
    let mut cursors = Vec::new();
    let mut seen = 0;
    while seen < rows * 6 / 10 {
        let (length, next) = list(&page).await?;
        seen += length as u64;
        let next = next.ok_or("the list ends before its middle")?;
        if seen >= rows * 4 / 10 {
            cursors.push(next.clone());
        }
        page = PageRequest::new(turned).after(next);
    }
    Ok(cursors)
}
