//! Events.

use std::borrow::Cow;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::footprint::Footprint;
use super::stored::{
    Place, StoredEnum, StoredId, StoredInteger, StoredJson, StoredRow, StoredText, is_json, json_of,
};
use super::{ActorType, Bounded, Scope};
use crate::error::StateStoreError;
use crate::numbers::Seq;
use crate::page::TimeRange;
use crate::schema::events;
use crate::search_text::searchable;

const TABLE: &str = "events";

/// Something that happened.
///
/// These are exactly the guide's fields, for ever; build it as a struct literal. What the store adds is in
/// [`EventRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, unique within the prefix. Saving the same event again is a no-op; other content under its id is a
    /// conflict. `Uuid::now_v7()` makes ids that cost the index least.
    pub id: Uuid,
    /// What kind of event: any word (512 bytes).
    pub event_type: String,
    /// When it happened, in Unix seconds, as the caller says.
    pub timestamp: i64,
    /// The session, which need not exist (512 bytes).
    pub session_id: String,
    /// What caused it.
    pub actor_type: ActorType,
    /// Who caused it (512 bytes).
    pub actor_id: String,
    /// What happened: any text (64 MiB). It can be searched.
    pub content: String,
    /// Anything, as JSON (1 MiB, 100 levels).
    pub metadata: Option<Value>,
    /// The git commit that the agent worked on (512 bytes).
    pub git_commit: Option<String>,
}

/// An event with what the store keeps beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EventRecord {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// Its place in the order of all events.
    pub seq: Seq,
    /// The prefix.
    pub namespace: String,
    /// When the store wrote the row, in Unix seconds of its clock.
    pub created_at: i64,
    /// The same in microseconds.
    pub recorded_at: i64,
    /// The metadata as the text that is stored: numbers with all their digits, keys in their order. In
    /// [`Event::metadata`] a number has the digits that serde_json keeps, and one beyond its range is a string of them.
    #[serde(skip)]
    pub metadata_text: Option<String>,
}

/// Which events a list holds; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFilter {
    pub(crate) session_id: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) actor_id: Option<String>,
    pub(crate) time: TimeRange,
}

impl EventFilter {
    /// Picks only this session's.
    #[must_use]
    pub fn session(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(session_id.into());
        self
    }

    /// Picks only this type.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Picks only this actor's.
    #[must_use]
    pub fn actor(mut self, actor_id: impl Into<String>) -> Self {
        self.actor_id = Some(actor_id.into());
        self
    }

    /// Picks only those whose `timestamp` is in the range.
    #[must_use]
    pub fn time(mut self, range: TimeRange) -> Self {
        self.time = range;
        self
    }
}

impl Bounded for EventFilter {
    fn is_bounded(&self) -> bool {
        // There is an index for each of them, and none for two.
        let chosen = [&self.session_id, &self.event_type, &self.actor_id];
        let chosen = chosen.iter().filter(|value| value.is_some()).count();
        !self.time.is_limited() && chosen <= 1
    }
}

/// What is special about an event that is appended.
///
/// ```
/// use descartes_state::AppendOptions;
///
/// let options = AppendOptions::default().metadata_text(r#"{"price": 1.10}"#).searchable(false);
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AppendOptions<'a> {
    metadata_text: Option<&'a str>,
    is_searchable: bool,
}

impl Default for AppendOptions<'_> {
    fn default() -> Self {
        Self {
            metadata_text: None,
            is_searchable: true,
        }
    }
}

impl<'a> AppendOptions<'a> {
    /// Gives the metadata as JSON text, which is kept as it is: numbers have all their digits and keys their order
    /// ([`EventRecord::metadata_text`]). The event has none of its own then.
    #[must_use]
    pub fn metadata_text(mut self, text: &'a str) -> Self {
        self.metadata_text = Some(text);
        self
    }

    /// Sets whether the event can be found by its words (yes). What is no text, such as a drawn screen, would make the search
    /// index grow, and nobody would look for it.
    #[must_use]
    pub fn searchable(mut self, is_searchable: bool) -> Self {
        self.is_searchable = is_searchable;
        self
    }
}

/// An event on its way in, checked. Its large texts are the caller's, until it is to outlive them: a content of 64 MiB isn't
/// held once more for a write within a transaction.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(crate) struct NewEvent<'e> {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) timestamp: i64,
    pub(crate) session_id: String,
    pub(crate) actor_type: ActorType,
    pub(crate) actor_id: String,
    pub(crate) content: Cow<'e, str>,
    pub(crate) metadata: Option<Cow<'e, str>>,
    pub(crate) git_commit: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) recorded_at: i64,
    pub(crate) search_text: Option<String>,
}

impl<'e> NewEvent<'e> {
    pub(crate) fn prepare(scope: &Scope, event: &'e Event) -> Result<Self, StateStoreError> {
        Self::prepare_with(scope, event, AppendOptions::default())
    }

    pub(crate) fn prepare_with(
        scope: &Scope,
        event: &'e Event,
        options: AppendOptions<'e>,
    ) -> Result<Self, StateStoreError> {
        let limits = &scope.limits;
        let metadata = match options.metadata_text {
            Some(_) if event.metadata.is_some() => {
                return Err(StateStoreError::invalid("metadata", "it is given twice"));
            }
            Some(text) => {
                limits.check_metadata_text(text)?;
                Some(Cow::Borrowed(text))
            }
            None => limits
                .optional_metadata(event.metadata.as_ref())?
                .map(Cow::Owned),
        };
        let git_commit = event.git_commit.as_deref();
        let now = scope.clock.now();
        Ok(Self {
            namespace: scope.namespace.as_str().to_owned(),
            id: event.id.to_string(),
            event_type: limits.id("event_type", &event.event_type)?.to_owned(),
            timestamp: event.timestamp,
            session_id: limits.id("session_id", &event.session_id)?.to_owned(),
            actor_type: event.actor_type,
            actor_id: limits.id("actor_id", &event.actor_id)?.to_owned(),
            content: Cow::Borrowed(limits.content(&event.content)?),
            metadata,
            git_commit: limits.optional_id("git_commit", git_commit)?,
            created_at: now.seconds,
            recorded_at: now.micros,
            search_text: if options.is_searchable {
                searchable(&event.content)
            } else {
                // No words. The content would be indexed where there is nothing.
                Some(String::new())
            },
        })
    }

    pub(crate) fn prepare_all(
        scope: &Scope,
        events: &'e [Event],
    ) -> Result<Vec<Self>, StateStoreError> {
        scope.limits.bulk(events.len())?;
        let events = events.iter();
        events.map(|event| Self::prepare(scope, event)).collect()
    }

    pub(crate) fn prepare_all_with(
        scope: &Scope,
        events: &'e [(&'e Event, AppendOptions<'e>)],
    ) -> Result<Vec<Self>, StateStoreError> {
        scope.limits.bulk(events.len())?;
        let events = events.iter();
        events
            .map(|(event, options)| Self::prepare_with(scope, event, *options))
            .collect()
    }

    /// Returns whether a stored event says the same as this one.
    pub(crate) fn says_the_same_as(&self, stored: &Event) -> bool {
        self.event_type == stored.event_type
            && self.timestamp == stored.timestamp
            && self.session_id == stored.session_id
            && self.actor_type == stored.actor_type
            && self.actor_id == stored.actor_id
            && self.content == stored.content
            && self.git_commit == stored.git_commit
            && is_json(self.metadata.as_deref(), stored.metadata.as_ref())
    }
}

impl Footprint for NewEvent<'_> {
    type Held = NewEvent<'static>;

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.namespace.bytes()
            + self.id.bytes()
            + self.event_type.bytes()
            + self.session_id.bytes()
            + self.actor_id.bytes()
            + self.content.len()
            + self.metadata.as_ref().map_or(0, |metadata| metadata.len())
            + self.git_commit.bytes()
            + self.search_text.bytes()
    }

    fn held(self) -> NewEvent<'static> {
        NewEvent {
            content: Cow::Owned(self.content.into_owned()),
            metadata: self
                .metadata
                .map(|metadata| Cow::Owned(metadata.into_owned())),
            namespace: self.namespace,
            id: self.id,
            event_type: self.event_type,
            timestamp: self.timestamp,
            session_id: self.session_id,
            actor_type: self.actor_type,
            actor_id: self.actor_id,
            git_commit: self.git_commit,
            created_at: self.created_at,
            recorded_at: self.recorded_at,
            search_text: self.search_text,
        }
    }
}

/// What every read of an event reads: the guide's fields but for the metadata.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = events)]
pub(crate) struct EventFields {
    id: StoredId,
    event_type: StoredText,
    timestamp: StoredInteger,
    session_id: StoredText,
    actor_type: StoredEnum<ActorType>,
    actor_id: StoredText,
    content: StoredText,
    git_commit: Option<StoredText>,
}

impl EventFields {
    fn decode(
        self,
        metadata: impl FnOnce(Place<'static>) -> Result<Option<Value>, StateStoreError>,
    ) -> Result<(Event, Place<'static>), StateStoreError> {
        let (id, place) = self.id.id(TABLE, "id")?;
        let event = Event {
            id,
            event_type: self.event_type.text(place, "event_type")?,
            timestamp: self.timestamp.integer(place, "timestamp")?,
            session_id: self.session_id.text(place, "session_id")?,
            actor_type: self.actor_type.parse(place, "actor_type")?,
            actor_id: self.actor_id.text(place, "actor_id")?,
            content: self.content.text(place, "content")?,
            metadata: metadata(place)?,
            git_commit: place.optional(self.git_commit, "git_commit", StoredText::text)?,
        };
        Ok((event, place))
    }
}

/// The guide's fields of a row of `events`.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = events)]
pub(crate) struct GuideEventRow {
    #[diesel(embed)]
    fields: EventFields,
    metadata: Option<StoredJson>,
}

impl StoredRow for GuideEventRow {
    fn bytes(&self) -> usize {
        self.fields.content.len() + self.metadata.as_ref().map_or(0, StoredJson::len)
    }
}

impl GuideEventRow {
    pub(crate) fn decode(self) -> Result<Event, StateStoreError> {
        let metadata = self.metadata;
        let metadata =
            |place: Place<'static>| place.optional(metadata, "metadata", StoredJson::json);
        self.fields.decode(metadata).map(|(event, _)| event)
    }
}

/// A row of `events`. Its namespace is that of the query.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = events)]
pub(crate) struct EventRow {
    seq: StoredInteger,
    #[diesel(embed)]
    fields: EventFields,
    metadata: Option<StoredText>,
    created_at: StoredInteger,
    recorded_at: StoredInteger,
}

impl StoredRow for EventRow {
    fn bytes(&self) -> usize {
        self.fields.content.len() + self.metadata.as_ref().map_or(0, StoredText::len)
    }
}

impl EventRow {
    pub(crate) fn decode_id(id: StoredId) -> Result<Uuid, StateStoreError> {
        id.id(TABLE, "id").map(|(id, _)| id)
    }

    pub(crate) fn decode(self, scope: &Scope) -> Result<EventRecord, StateStoreError> {
        let (stored, mut metadata_text) = (self.metadata, None);
        let metadata = |place: Place<'static>| {
            metadata_text = place.optional(stored, "metadata", StoredText::text)?;
            let text = metadata_text.as_deref();
            text.map(|text| json_of(text, place, "metadata"))
                .transpose()
        };
        let (event, place) = self.fields.decode(metadata)?;
        Ok(EventRecord {
            event,
            seq: self.seq.integer(place, "seq")?.into(),
            namespace: scope.namespace.as_str().to_owned(),
            created_at: self.created_at.integer(place, "created_at")?,
            recorded_at: self.recorded_at.integer(place, "recorded_at")?,
            metadata_text,
        })
    }
}
