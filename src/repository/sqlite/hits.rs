//! The events that a search finds: by the index, and among those that it doesn't hold yet.
//!
//! A search writes nothing. It looks itself through what its transaction, or another program, has appended since the index
//! was last brought up to date. That is all newer than what is indexed, so a page is first the one and then the other.

use diesel::connection::{Connection as _, DefaultLoadingMode};
use diesel::prelude::*;

use super::dialect::{Connection, Matching, UnindexedText, first_text};
use super::event_filter::{Question, restricted};
use super::limited::limited;
use super::recent::Recent;
use super::search::{self, events_search};
use super::words::Wanted;
use crate::error::StateStoreError;
use crate::models::{EventFilter, EventRecord, EventRow, Scope, StoredRow};
use crate::page::{Order, SequenceBounds};
use crate::read_budget::ReadBudget;
use crate::schema::events;

/// How many rows of the log the index is asked about first, and how many times as many each time after that.
///
/// A common word is among the newest rows; for a rare one FTS5 looks its few places up again.
const WINDOW: i64 = 4096;
const GROWTH: i64 = 8;

/// More rows than wait to be indexed while their writer runs: a group of writes above a block.
const USUALLY_WAITING: i64 = 512;

/// A stretch of the log: its first and its last number.
type Stretch = (i64, i64);

/// Returns the events that a search finds, and one more than the page holds where there is one.
#[allow(clippy::disallowed_methods)] // It reads only: several statements in one snapshot, in whatever transaction is open.
pub(super) fn find_words(
    connection: &mut Connection,
    scope: &Scope,
    budget: Option<&ReadBudget>,
    question: &Question<'_>,
) -> Result<Vec<EventRecord>, StateStoreError> {
    let Some(wanted) = Wanted::of(question.text, question.words) else {
        return Ok(Vec::new());
    };
    connection.transaction(|connection| {
        let hits = Hits {
            connection,
            scope,
            budget,
            filter: question.filter,
            wanted: &wanted,
            bounds: question.bounds,
            found: Vec::new(),
        };
        hits.load()
    })
}

/// A search under way, in one snapshot.
struct Hits<'h> {
    connection: &'h mut Connection,
    scope: &'h Scope,
    budget: Option<&'h ReadBudget>,
    filter: &'h EventFilter,
    wanted: &'h Wanted,
    bounds: SequenceBounds,
    found: Vec<EventRecord>,
}

impl Hits<'_> {
    /// Returns the rows of the page, and one more where there is one.
    fn load(mut self) -> Result<Vec<EventRecord>, StateStoreError> {
        let indexed = search::last_indexed(self.connection)?;
        let (first, last) = match (self.bounds.order, self.bounds.after) {
            (_, None) => (i64::MIN, i64::MAX),
            (Order::Descending, Some(seq)) => (i64::MIN, seq.saturating_sub(1)),
            (Order::Ascending, Some(seq)) => (seq.saturating_add(1), i64::MAX),
        };
        let recent = (first.max(indexed.saturating_add(1)), last);
        let older = (first, last.min(indexed));
        match self.bounds.order {
            Order::Descending => {
                self.look_through(recent)?;
                self.ask_index(older)?;
            }
            Order::Ascending => {
                self.ask_index(older)?;
                self.look_through(recent)?;
            }
        }
        Ok(self.found)
    }

    /// Returns how many rows the page still lacks.
    fn missing(&self) -> usize {
        self.bounds
            .rows
            .saturating_add(1)
            .saturating_sub(self.found.len())
    }

    /// Looks through rows that the index doesn't hold.
    fn look_through(&mut self, (first, last): Stretch) -> Result<(), StateStoreError> {
        let namespace = &self.scope.namespace;
        let newest = search::last_event(self.connection, namespace)?;
        if self.missing() == 0 || newest.is_none_or(|newest| newest < first) || first > last {
            return Ok(());
        }
        if newest.is_some_and(|newest| newest.saturating_sub(first) > USUALLY_WAITING)
            && let Some(budget) = self.budget
        {
            budget.miss_index();
        }
        let numbers = self.recent_numbers((first, last))?;
        if numbers.is_empty() {
            return Ok(());
        }
        let rows = events::table
            .filter(events::seq.eq_any(numbers))
            .select(EventRow::as_select())
            .into_boxed();
        let rows = match self.bounds.order {
            Order::Descending => rows.order(events::seq.desc()),
            Order::Ascending => rows.order(events::seq.asc()),
        };
        let rows: Vec<EventRow> = rows.load(self.connection)?;
        self.keep(rows)
    }

    /// Returns the numbers of those that hold the words, as many as the page lacks.
    fn recent_numbers(&mut self, (first, last): Stretch) -> Result<Vec<i64>, StateStoreError> {
        // Only the namespace's index is to serve: any other would begin with what is long indexed.
        let rows = events::table
            .filter(events::namespace.eq(self.scope.namespace.as_str()))
            .filter(events::seq.ge(first))
            .filter(events::seq.le(last))
            .select((
                events::seq,
                first_text(events::search_text, events::content),
            ))
            .into_boxed();
        let rows = restricted!(rows, self.scope, self.filter, UnindexedText::new, false);
        let rows = match self.bounds.order {
            Order::Descending => rows.order(events::seq.desc()),
            Order::Ascending => rows.order(events::seq.asc()),
        };
        let mut recent = Recent::new(self.wanted, self.missing());
        // One at a time: a row may be large.
        for row in rows.load_iter::<(i64, String), DefaultLoadingMode>(self.connection)? {
            let (seq, words) = row?;
            if let Some(budget) = self.budget {
                budget.spend(words.len())?;
            }
            if recent.look_at(seq, words)? {
                break;
            }
        }
        recent.finish()
    }

    /// Asks the index, by windows that grow until the page is full.
    fn ask_index(&mut self, (first, mut last): Stretch) -> Result<(), StateStoreError> {
        if self.missing() == 0 || first > last {
            return Ok(());
        }
        let Some(oldest) = search::first_indexed(self.connection)? else {
            return Ok(());
        };
        let mut first = first.max(oldest);
        let namespace = &self.scope.namespace;
        let is_shared = search::is_shared(self.connection, namespace)?;
        let expression = self.wanted.expression(is_shared.then_some(namespace));
        let mut width = WINDOW;
        while first <= last && self.missing() > 0 {
            let rows = match self.bounds.order {
                Order::Descending => {
                    let from = last.saturating_sub(width - 1).max(first);
                    let window = (from, last);
                    last = from.saturating_sub(1);
                    self.hits_within(window, &expression)?
                }
                Order::Ascending => {
                    let until = first.saturating_add(width - 1).min(last);
                    let window = (first, until);
                    first = until.saturating_add(1);
                    self.hits_within(window, &expression)?
                }
            };
            self.keep(rows)?;
            if let Some(budget) = self.budget
                && first <= last
                && self.missing() > 0
            {
                // The other windows are larger.
                budget.check_unlimited()?;
            }
            width = width.saturating_mul(GROWTH);
        }
        Ok(())
    }

    fn hits_within(
        &mut self,
        (first, last): Stretch,
        expression: &str,
    ) -> Result<Vec<EventRow>, StateStoreError> {
        let hits = events_search::table
            .inner_join(events::table.on(events::seq.eq(events_search::rowid)))
            .filter(events_search::whole_row.matches(expression))
            .filter(events_search::rowid.ge(first))
            .filter(events_search::rowid.le(last))
            .select(EventRow::as_select())
            .into_boxed();
        // No index of `events` is to serve here: SQLite would begin there, ask the search for each row, and sort.
        let hits = restricted!(hits, self.scope, self.filter, UnindexedText::new, false);
        let hits = match self.bounds.order {
            Order::Descending => hits.order(events_search::rowid.desc()),
            Order::Ascending => hits.order(events_search::rowid.asc()),
        };
        let rows = i64::try_from(self.missing()).unwrap_or(i64::MAX);
        limited(hits, rows)
            .load::<EventRow>(self.connection)
            .map_err(|error| search::of_index(self.connection, error))
    }

    fn keep(&mut self, rows: Vec<EventRow>) -> Result<(), StateStoreError> {
        for row in rows {
            if let Some(budget) = self.budget {
                budget.spend(row.bytes())?;
            }
            self.found.push(EventRow::decode(row, self.scope)?);
        }
        Ok(())
    }
}
