//! Which events a filter picks, and a search.

use crate::models::EventFilter;
use crate::page::SequenceBounds;
use crate::repository::Words;

/// A page of the events that hold words.
pub(super) struct Question<'q> {
    pub(super) text: &'q str,
    pub(super) words: Words,
    pub(super) filter: &'q EventFilter,
    pub(super) bounds: SequenceBounds,
}

/// A boxed query over `events`, cut down to the namespace and the filter. Its text columns are wrapped in `$text`; `$by_time`
/// is whether the time range is to pick the index.
macro_rules! restricted {
    ($query:expr, $scope:expr, $filter:expr, $text:path, $by_time:expr) => {{
        use crate::models::{EventFilter, Scope};
        use crate::schema::events;
        let (scope, filter): (&Scope, &EventFilter) = ($scope, $filter);
        let limits = &scope.limits;
        let namespace = scope.namespace.as_str().to_owned();
        let mut query = $query.filter($text(events::namespace).eq(namespace));
        if let Some(session_id) = &filter.session_id {
            let session_id = limits.id("session_id", session_id)?.to_owned();
            query = query.filter($text(events::session_id).eq(session_id));
        }
        if let Some(event_type) = &filter.event_type {
            let event_type = limits.id("event_type", event_type)?.to_owned();
            query = query.filter($text(events::event_type).eq(event_type));
        }
        if let Some(actor_id) = &filter.actor_id {
            let actor_id = limits.id("actor_id", actor_id)?.to_owned();
            query = query.filter($text(events::actor_id).eq(actor_id));
        }
        super::lists::within!(query, events::timestamp, filter.time, $by_time)
    }};
}
pub(super) use restricted;
