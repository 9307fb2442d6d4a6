//! The events.

use uuid::Uuid;

use super::handle::handle;
use crate::engine::{ReadExtent, SearchIndexTask};
use crate::error::StateStoreError;
use crate::models::{AppendOptions, Event, EventFilter, EventRecord, NewEvent};
use crate::numbers::Seq;
use crate::page::{Page, PageRequest};
use crate::repository::{Words, event_methods, on_table};

event_methods!(handle);

impl Events<'_> {
    /// Makes the search index again from the events of every prefix, whatever is left of it; writers wait meanwhile.
    ///
    /// ```
    /// # descartes_state_testing::example(async |store| {
    /// store.events().rebuild_search().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Only the database's.
    pub async fn rebuild_search(&self) -> Result<(), StateStoreError> {
        let task = SearchIndexTask::Rebuild;
        self.core
            .work_on_search_index("events.rebuild_search", task)
            .await
    }

    /// Checks that the search index is sound and holds every event of every prefix; changes nothing. It reads all of both,
    /// and writers wait meanwhile.
    ///
    /// ```
    /// # descartes_state_testing::example(async |store| {
    /// store.events().check_search().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `SearchIndexDamaged`; [`rebuild_search`](Self::rebuild_search) mends it.
    pub async fn check_search(&self) -> Result<(), StateStoreError> {
        let task = SearchIndexTask::Check;
        self.core
            .work_on_search_index("events.check_search", task)
            .await
    }

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
