//! The events.

use uuid::Uuid;

use super::handle::handle;
use crate::error::StateStoreError;
use crate::models::{Event, EventFilter, EventRecord, NewEvent};
use crate::numbers::Seq;
use crate::page::{Page, PageRequest};
use crate::repository::{event_methods, on_table};
use crate::store::core::ReadExtent;

event_methods!(handle);

impl Events<'_> {
    pub(super) async fn all(&self, filter: EventFilter) -> Result<Vec<Event>, StateStoreError> {
        self.core
            .read("events.list", ReadExtent::Many, move |backend| {
                on_table!(backend, EventTable, |table| table.all(&filter))
            })
            .await
    }

    pub(super) async fn search_all(&self, text: &str) -> Result<Vec<Event>, StateStoreError> {
        let text = self.core.scope()?.limits.search(text)?.to_owned();
        self.core
            .read("events.search", ReadExtent::Many, move |backend| {
                on_table!(backend, EventTable, |table| table.search_all(&text))
            })
            .await
    }
}
