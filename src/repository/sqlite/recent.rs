//! Finds words in events that the full-text index doesn't hold yet: with the index's own tokenizer, in a small index of
//! their own, in memory.
//!
//! Nothing else would find exactly what the index will find: its tokenizer knows the letters, cases and accents of every
//! script.

use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::connection::Connection as _;
use diesel::prelude::*;

#[cfg(feature = "postgres")]
use super::dialect::RecentWords;
use super::dialect::{Connection, Matching, RecentIndex};
use super::words::Wanted;
use crate::error::StateStoreError;

diesel::table! {
    recent_events (rowid) {
        rowid -> BigInt,
        content -> Text,
        /// FTS5's hidden column of the table's own name: the left side of MATCH.
        #[sql_name = "recent_events"]
        whole_row -> Text,
    }
}

#[cfg(feature = "postgres")]
diesel::table! {
    /// Each word of each row, with its place (<https://www.sqlite.org/fts5.html>, section 5).
    recent_words (term, offset) {
        term -> Text,
        offset -> BigInt,
    }
}

#[cfg(feature = "postgres")]
diesel::table! {
    /// Each word once.
    recent_terms (term) {
        term -> Text,
    }
}

/// Small indexes that nobody uses now. Empty.
static IDLE: Mutex<Vec<Connection>> = Mutex::new(Vec::new());
/// How many of them are kept.
const KEPT: usize = 4;

/// How much is indexed at once.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// A look through events, one after the other.
pub(in crate::repository) struct Recent<'w> {
    wanted: &'w Wanted,
    /// How many are asked for.
    most: usize,
    /// Those that may match, by number, and how large they are together.
    candidates: Vec<(i64, String)>,
    bytes: usize,
    found: Vec<i64>,
}

impl<'w> Recent<'w> {
    pub(in crate::repository) fn new(wanted: &'w Wanted, most: usize) -> Self {
        Self {
            wanted,
            most,
            candidates: Vec::new(),
            bytes: 0,
            found: Vec::new(),
        }
    }

    /// Looks at the next event, in the order of the page; returns whether enough are found.
    pub(in crate::repository) fn look_at(
        &mut self,
        seq: i64,
        words: String,
    ) -> Result<bool, StateStoreError> {
        if self.wanted.may_be_in(&words) {
            self.bytes += words.len();
            self.candidates.push((seq, words));
        }
        if self.candidates.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.decide()?;
        }
        Ok(self.found.len() >= self.most)
    }

    /// Returns the numbers of those that match, in the order in which they came.
    pub(in crate::repository) fn finish(mut self) -> Result<Vec<i64>, StateStoreError> {
        self.decide()?;
        self.found.truncate(self.most);
        Ok(self.found)
    }

    /// Finds out which of the candidates match.
    fn decide(&mut self) -> Result<(), StateStoreError> {
        let candidates = std::mem::take(&mut self.candidates);
        self.bytes = 0;
        if candidates.is_empty() || self.found.len() >= self.most {
            return Ok(());
        }
        let expression = self.wanted.expression(None);
        let matching = with_index(|index| Ok(matching(index, &candidates, &expression)?))?;
        let numbers = candidates.iter().map(|(seq, _)| *seq);
        self.found
            .extend(numbers.filter(|seq| matching.binary_search(seq).is_ok()));
        Ok(())
    }
}

fn idle() -> MutexGuard<'static, Vec<Connection>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> Result<Connection, StateStoreError> {
    let mut index = Connection::establish(":memory:")?;
    RecentIndex.execute(&mut index)?;
    #[cfg(feature = "postgres")]
    for words in [RecentWords::InOrder, RecentWords::Once] {
        words.execute(&mut index)?;
    }
    Ok(index)
}

/// Does something with a small index that is empty, and is again afterwards.
fn with_index<T>(
    work: impl FnOnce(&mut Connection) -> Result<T, StateStoreError>,
) -> Result<T, StateStoreError> {
    let kept = idle().pop();
    let mut index = match kept {
        Some(index) => index,
        None => open()?,
    };
    let result = work(&mut index)?;
    let mut idle = idle();
    if idle.len() < KEPT {
        idle.push(index);
    }
    Ok(result)
}

/// Returns the words of a text in their order, as the full-text index cuts it.
#[cfg(feature = "postgres")]
pub(in crate::repository) fn words_of(text: &str) -> Result<Vec<String>, StateStoreError> {
    let words = recent_words::table
        .order(recent_words::offset)
        .select(recent_words::term);
    with_text(text, |index| words.load(index))
}

/// Returns the different words of a text.
#[cfg(feature = "postgres")]
pub(in crate::repository) fn terms_of(text: &str) -> Result<Vec<String>, StateStoreError> {
    with_text(text, |index| {
        recent_terms::table.select(recent_terms::term).load(index)
    })
}

/// Asks a small index that holds one text.
#[cfg(feature = "postgres")]
fn with_text(
    text: &str,
    ask: impl FnOnce(&mut Connection) -> QueryResult<Vec<String>>,
) -> Result<Vec<String>, StateStoreError> {
    with_index(|index| {
        let mut words = Vec::new();
        undone(index, |index| {
            diesel::insert_into(recent_events::table)
                .values((recent_events::rowid.eq(1), recent_events::content.eq(text)))
                .execute(index)?;
            words = ask(index)?;
            Ok(())
        })?;
        Ok(words)
    })
}

/// Does something with an index, and takes back what it wrote.
#[allow(clippy::disallowed_methods)] // In memory, and nobody else's.
fn undone(
    index: &mut Connection,
    work: impl FnOnce(&mut Connection) -> QueryResult<()>,
) -> QueryResult<()> {
    let undone = index.transaction(|index| {
        work(index)?;
        Err::<(), _>(diesel::result::Error::RollbackTransaction)
    });
    match undone {
        Ok(()) | Err(diesel::result::Error::RollbackTransaction) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the numbers of those that match, rising. The index is empty before and after.
fn matching(
    index: &mut Connection,
    candidates: &[(i64, String)],
    expression: &str,
) -> QueryResult<Vec<i64>> {
    use recent_events::{content, rowid, table, whole_row};
    let mut found = Vec::new();
    undone(index, |index| {
        for (seq, words) in candidates {
            diesel::insert_into(table)
                .values((rowid.eq(seq), content.eq(words)))
                .execute(index)?;
        }
        found = table
            .filter(whole_row.matches(expression))
            .order(rowid)
            .select(rowid)
            .load(index)?;
        Ok(())
    })?;
    Ok(found)
}
