//! The events.

use uuid::Uuid;

use super::SqliteStateStore;
use crate::engine::WriteKind;
use crate::error::StateStoreError;
use crate::models::{Event, EventFilter, EventRecord, NewEvent};
use crate::page::{Page, PageRequest};

/// The events.
#[derive(Debug, Clone, Copy)]
pub struct Events<'s> {
    store: &'s SqliteStateStore,
}

impl<'s> Events<'s> {
    pub(super) fn new(store: &'s SqliteStateStore) -> Self {
        Self { store }
    }

    /// Appends an event; gives its sequence number. An event that is stored already, with the same content, is left as it
    /// is.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// `Conflict` where the id holds other content; `InvalidInput` or `TooLarge` for a bad field.
    pub async fn append(&self, event: &Event) -> Result<i64, StateStoreError> {
        let row = NewEvent::prepare(self.store.scope()?, event)?;
        self.store
            .write("events.append", WriteKind::SingleStatement, move |tx| {
                tx.events().put(&row)
            })
            .await
    }

    /// Appends many events, in their order, all or none; gives the sequence number of each.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// As [`append`](Self::append), and `TooLarge` above the `bulk_rows` of [`Limits`](crate::Limits) (100,000).
    pub async fn append_all(&self, events: &[Event]) -> Result<Vec<i64>, StateStoreError> {
        let rows = NewEvent::prepare_all(self.store.scope()?, events)?;
        self.store
            .write("events.append_all", WriteKind::Bulk, move |tx| {
                tx.events().put_all(&rows)
            })
            .await
    }

    /// An event; `None` where there is none.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub async fn get(&self, id: &Uuid) -> Result<Option<EventRecord>, StateStoreError> {
        let id = *id;
        self.store
            .read_one("events.get", move |tx| tx.events().get(&id))
            .await
    }

    /// A page of events.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn list(
        &self,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<EventRecord>, StateStoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.store
            .read_many("events.list", move |tx| tx.events().list(&filter, &page))
            .await
    }

    /// How many events there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub async fn count(&self, filter: &EventFilter) -> Result<i64, StateStoreError> {
        let filter = filter.clone();
        self.store
            .read_many("events.count", move |tx| tx.events().count(&filter))
            .await
    }

    /// A page of the events whose content holds every word of the text.
    ///
    /// The text is plain words, whatever characters it holds: case and accents don't count, and words that are written
    /// together (`a-b`, `it's`) must stand together. A text without a letter or digit finds nothing.
    ///
    /// # Errors
    /// `TooLarge` for a text above `search_bytes` (4 KiB), `InvalidInput` or `TooLarge` for a bad filter or page.
    pub async fn search(
        &self,
        text: &str,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<EventRecord>, StateStoreError> {
        let (text, filter, page) = (text.to_owned(), filter.clone(), page.clone());
        self.store
            .read_many("events.search", move |tx| {
                tx.events().search(&text, &filter, &page)
            })
            .await
    }

    /// Removes the events whose `timestamp` is before this Unix second, from the search too; gives how many.
    ///
    /// # Cancellation
    /// All is written, or nothing.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn purge_before(&self, seconds: i64) -> Result<usize, StateStoreError> {
        self.store
            .write("events.purge_before", WriteKind::Bulk, move |tx| {
                tx.events().purge_before(seconds)
            })
            .await
    }

    pub(super) async fn all(&self, filter: EventFilter) -> Result<Vec<Event>, StateStoreError> {
        self.store
            .read_many("events.list", move |tx| tx.events().all(&filter))
            .await
    }

    pub(super) async fn search_all(&self, text: &str) -> Result<Vec<Event>, StateStoreError> {
        let text = text.to_owned();
        self.store
            .read_many("events.search", move |tx| tx.events().search_all(&text))
            .await
    }
}
