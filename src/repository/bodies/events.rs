//! Events: append-only.

use std::convert::identity;

use diesel::prelude::*;
use uuid::Uuid;

use super::context::TableContext;
use super::dialect::{Connection, Db, settled};
use super::event_filter::{Question, restricted};
use super::hits::find_words;
use super::lists::{decoded, decoded_one, whole_list};
use super::pages::in_sequence;
use super::prepared::prepared;
use super::search;
use crate::commit_notes::CommitNotes;
use crate::condition::SaveIf;
use crate::error::StateStoreError;
use crate::models::{
    Event, EventFilter, EventRecord, EventRow, GuideEventRow, NewEvent, Scope, StoredId,
};
use crate::numbers::{Revision, Seq};
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::read_budget::ReadBudget;
use crate::repository::Words;
use crate::schema::events;

pub(crate) struct EventTable<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
    notes: &'t mut CommitNotes,
    budget: Option<&'t ReadBudget>,
}

impl<'t> EventTable<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            scope: context.scope,
            notes: context.notes,
            budget: context.budget,
        }
    }

    /// Appends events in their order; returns the sequence number of each.
    pub(crate) fn put_all(&mut self, rows: &[NewEvent<'_>]) -> Result<Vec<Seq>, StateStoreError> {
        let mut seqs = Vec::with_capacity(rows.len());
        for part in rows.chunks(search::ROWS_AT_ONCE) {
            let inserted = search::insert_events(self.connection, part)?;
            for (row, seq) in part.iter().zip(inserted) {
                seqs.push(self.inserted(row, seq)?);
            }
        }
        Ok(seqs)
    }

    pub(crate) fn put(&mut self, row: &NewEvent<'_>) -> Result<Seq, StateStoreError> {
        let seq = search::insert_event(self.connection, row)?;
        self.inserted(row, seq)
    }

    /// Returns the number of an event that was inserted, or of the same that was there already.
    fn inserted(&mut self, row: &NewEvent<'_>, seq: Option<i64>) -> Result<Seq, StateStoreError> {
        if let Some(seq) = seq {
            self.notes.appended += 1;
            return Ok(seq.into());
        }
        match self.find(&row.id)? {
            Some(stored) if row.says_the_same_as(&stored.event) => Ok(stored.seq),
            // Appended rows never change: each stays at its first revision.
            _ => Err(StateStoreError::Conflict {
                entity: "event",
                id: row.id.clone(),
                expected: SaveIf::Absent,
                actual: Revision::from(1),
            }),
        }
    }

    pub(crate) fn list(
        &mut self,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<EventRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let bounds = settled(self.connection, self.notes, "events", bounds)?;
        let matching = self.matching(filter)?;
        let query = in_sequence!(events, matching, picks_by_time(filter), bounds);
        let query = query.select(EventRow::as_select());
        let rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            EventRow::decode(row, self.scope)
        })?;
        Ok(Page::by_sequence(rows, bounds, |last: &EventRecord| {
            last.seq
        }))
    }

    /// Returns every event that the filter picks, newest first.
    pub(crate) fn all(&mut self, filter: &EventFilter) -> Result<Vec<Event>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let bounds = SequenceBounds::newest(limit);
        let matching = self.matching(filter)?;
        let query = in_sequence!(events, matching, picks_by_time(filter), bounds);
        let query = query.select(GuideEventRow::as_select());
        let decode = GuideEventRow::decode;
        let rows = decoded(query, limit, self.connection, self.budget, decode)?;
        whole_list(rows, limit, "events().list(..)")
    }

    pub(crate) fn search(
        &mut self,
        text: &str,
        words: Words,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<EventRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let bounds = settled(self.connection, self.notes, "events", bounds)?;
        let rows = self.find_words(text, words, filter, bounds)?;
        Ok(Page::by_sequence(rows, bounds, |last: &EventRecord| {
            last.seq
        }))
    }

    /// Returns every event whose content holds every word of the text, newest first.
    pub(crate) fn search_all(&mut self, text: &str) -> Result<Vec<Event>, StateStoreError> {
        let limit = self.scope.limits.list_rows;
        let bounds = SequenceBounds::newest(limit);
        let rows = self.find_words(text, Words::Whole, &EventFilter::default(), bounds)?;
        let rows = whole_list(rows, limit, "events().search(..)")?;
        Ok(rows.into_iter().map(|record| record.event).collect())
    }

    pub(crate) fn count(&mut self, filter: &EventFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    pub(crate) fn purge_before(&mut self, seconds: i64) -> Result<usize, StateStoreError> {
        let namespace = self.scope.namespace.as_str();
        let old = events::table
            .filter(events::namespace.eq(namespace))
            .filter(events::timestamp.lt(seconds));
        // A trigger takes them out of the index.
        let deleted = diesel::delete(old).execute(self.connection);
        deleted.map_err(|error| search::of_index(self.connection, error))
    }

    pub(crate) fn find(&mut self, id: &str) -> Result<Option<EventRecord>, StateStoreError> {
        let query = events::table
            .filter(events::namespace.eq(self.scope.namespace.as_str()))
            .filter(events::id.eq(id))
            .select(EventRow::as_select());
        decoded_one(query, self.connection, self.budget, |row| {
            EventRow::decode(row, self.scope)
        })
    }

    pub(crate) fn ids_between(
        &mut self,
        first: &str,
        last: &str,
        rows: u32,
    ) -> Result<Vec<Uuid>, StateStoreError> {
        PageRequest::new(rows).by_sequence(self.scope.limits.page_rows)?;
        let ids = events::table
            .filter(events::namespace.eq(self.scope.namespace.as_str()))
            .filter(events::id.between(first, last))
            .order(events::id)
            .limit(i64::from(rows))
            .select(events::id);
        let ids: Vec<StoredId> = prepared!(ids).load(self.connection)?;
        ids.into_iter().map(EventRow::decode_id).collect()
    }

    fn find_words(
        &mut self,
        text: &str,
        words: Words,
        filter: &EventFilter,
        bounds: SequenceBounds,
    ) -> Result<Vec<EventRecord>, StateStoreError> {
        // A bad filter is refused, whatever there is to be found.
        self.matching(filter)?;
        let question = Question {
            text,
            words,
            filter,
            bounds,
        };
        find_words(self.connection, self.scope, self.budget, &question)
    }

    fn matching(
        &self,
        filter: &EventFilter,
    ) -> Result<events::BoxedQuery<'static, Db>, StateStoreError> {
        Ok(restricted!(
            events::table.into_boxed(),
            self.scope,
            filter,
            identity,
            picks_by_time(filter)
        ))
    }
}

/// Whether the time range picks the index: those of sessions, types and actors have the times as well, but in order of
/// sequence.
fn picks_by_time(filter: &EventFilter) -> bool {
    filter.time.is_limited()
        && filter.session_id.is_none()
        && filter.event_type.is_none()
        && filter.actor_id.is_none()
}
