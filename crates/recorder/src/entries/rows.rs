//! The rows of one transaction, and how they are written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use descartes_state::error::ErrorKind;
use descartes_state::serde_json::Value;
use descartes_state::uuid::Uuid;
use descartes_state::{
    AppendOptions, Event, Session, StateStoreError, Transaction, TransitionDraft,
};

use super::named::{Known, Named};
use crate::agents::change_agent;
use crate::object_text::ObjectText;
use crate::sessions;
use crate::states::Before;

/// The rows that a batch of lines adds; they commit together or not at all.
#[derive(Debug, Default)]
pub struct Entries {
    /// The session of the run that they are written in.
    pub(super) run: String,
    pub(super) sessions: Vec<Session>,
    pub(super) agents: Vec<String>,
    pub(super) events: Vec<Row>,
    /// Events whose ids are made of what they say, and that may be stored already.
    pub(super) named: Vec<Named>,
    /// How many of the events are parts of lines that weren't over.
    pub(super) interim: usize,
    pub(super) transitions: Vec<StateChange>,
}

/// An event, and its metadata as text.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) event: Event,
    pub(super) metadata: Option<String>,
    /// Whether it is to be found by its words.
    pub(super) is_searchable: bool,
    /// Whether its sender's id stood for something else before in this input.
    pub(super) says_other: bool,
}

/// The key of an event's metadata that says that its sender's id stood for something else before.
const OTHER_CONTENT: &str = "other_content_of_id";

impl Row {
    /// Returns the metadata as they are to be stored.
    fn metadata(&self, known: &Known) -> Option<Cow<'_, str>> {
        let metadata = self.metadata.as_deref()?;
        if (self.says_other || known.says_other(&self.event.id))
            && let Some(mut marked) = ObjectText::of(metadata)
        {
            marked.push_mark(OTHER_CONTENT);
            return Some(marked.into_json().into());
        }
        Some(metadata.into())
    }

    fn options<'m>(&self, metadata: Option<&'m str>) -> AppendOptions<'m> {
        let options = AppendOptions::default().searchable(self.is_searchable);
        match metadata {
            Some(metadata) => options.metadata_text(metadata),
            None => options,
        }
    }
}

/// A transition, and where its state before is. Not a step: an agent has a state in each session that lines name, and its row
/// the last of them all.
#[derive(Debug)]
pub(super) struct StateChange {
    pub(super) id: Uuid,
    pub(super) event_id: Uuid,
    pub(super) agent_id: String,
    pub(super) before: Before,
    pub(super) after: Arc<str>,
    pub(super) reason: String,
    pub(super) metadata: Value,
    pub(super) at: i64,
}

impl StateChange {
    fn record(&self, tx: &mut Transaction<'_>) -> Result<(), StateStoreError> {
        let before = self.before.text(tx)?;
        let draft = TransitionDraft::new(&self.agent_id, before, &*self.after)
            .id(self.id)
            .timestamp(self.at)
            .reason(&self.reason)
            .metadata(self.metadata.clone());
        tx.transitions().record(&draft).map(drop)
    }
}

impl Entries {
    /// Returns how many lines these are, or parts of long ones; those that weren't over aren't counted.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events.len() - self.interim
    }

    /// Returns how many rows these are in the table of events.
    pub(crate) fn rows(&self) -> usize {
        self.events.len()
    }

    /// Returns how many transitions these are.
    #[must_use]
    pub fn transitions(&self) -> usize {
        self.transitions.len()
    }

    /// Returns the id of the first event.
    pub(crate) fn first_event(&self) -> Option<Uuid> {
        self.events.first().map(|row| row.event.id)
    }

    /// Writes all of them; what an error leaves, the caller's transaction rolls back. Writing them once more adds nothing.
    ///
    /// # Errors
    /// The store's.
    pub fn write(&self, tx: &mut Transaction<'_>) -> Result<(), StateStoreError> {
        self.open(tx)?;
        let known = Known::look(tx, &self.named)?;
        let rows: Vec<_> = self
            .new_events(&known)
            .map(|(_, row)| (row, row.metadata(&known)))
            .collect();
        let events: Vec<_> = rows
            .iter()
            .map(|(row, metadata)| (&row.event, row.options(metadata.as_deref())))
            .collect();
        let at_once = tx.limits().max_bulk_rows();
        for events in events.chunks(at_once) {
            tx.events().append_all_with(events)?;
        }
        for transition in self.new_transitions(&known) {
            transition.record(tx)?;
        }
        self.change_states(tx, &known)
    }

    fn new_events<'e>(&'e self, known: &Known) -> impl Iterator<Item = (usize, &'e Row)> {
        let rows = self.events.iter().enumerate();
        rows.filter(|(_, row)| !known.is_stored(&row.event.id))
    }

    fn new_transitions(&self, known: &Known) -> impl Iterator<Item = &StateChange> {
        self.transitions
            .iter()
            .filter(|transition| !known.is_stored(&transition.event_id))
    }

    /// Writes each that can be written, and counts the others.
    ///
    /// # Errors
    /// The store's, where it isn't one row that is to blame.
    pub(crate) fn write_each(&self, tx: &mut Transaction<'_>) -> Result<Refused, StateStoreError> {
        let mut refused = Refused::default();
        self.open(tx)?;
        let known = Known::look(tx, &self.named)?;
        for (place, row) in self.new_events(&known) {
            let metadata = row.metadata(&known);
            let options = row.options(metadata.as_deref());
            if let Err(error) = tx.events().append_with(&row.event, options) {
                refused.events.push(place);
                refused.note(error)?;
            }
        }
        for transition in self.new_transitions(&known) {
            if let Err(error) = transition.record(tx) {
                refused.transitions += 1;
                refused.note(error)?;
            }
        }
        self.change_states(tx, &known)?;
        Ok(refused)
    }

    /// Opens the sessions and makes the agents that lines named.
    fn open(&self, tx: &mut Transaction<'_>) -> Result<(), StateStoreError> {
        for session in &self.sessions {
            sessions::open(tx, session, &self.run)?;
        }
        for agent_id in &self.agents {
            change_agent(tx, agent_id, |state| state.status = "running".to_owned())?;
        }
        Ok(())
    }

    /// Gives each agent the last of its new states.
    fn change_states(
        &self,
        tx: &mut Transaction<'_>,
        known: &Known,
    ) -> Result<(), StateStoreError> {
        let states: HashMap<&str, &Arc<str>> = self
            .new_transitions(known)
            .map(|change| (change.agent_id.as_str(), &change.after))
            .collect();
        for (agent_id, state) in states {
            change_agent(tx, agent_id, |agent| {
                agent.status = "running".to_owned();
                agent.state_data = state.to_string();
            })?;
        }
        Ok(())
    }
}

/// What the store will never take.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// Places among the events.
    pub(crate) events: Vec<usize>,
    pub(crate) transitions: u64,
    /// Why, of the last one.
    pub(crate) reason: Option<String>,
}

impl Refused {
    fn note(&mut self, error: StateStoreError) -> Result<(), StateStoreError> {
        if !is_of_content(&error) {
            return Err(error);
        }
        self.reason = Some(error.to_string());
        Ok(())
    }
}

/// Returns whether a row is to blame, and not the store.
pub(crate) fn is_of_content(error: &StateStoreError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput
            | ErrorKind::TooLarge
            | ErrorKind::Conflict
            | ErrorKind::Constraint
            | ErrorKind::Serialization
            | ErrorKind::InvalidState
            | ErrorKind::Deleted
            | ErrorKind::NotFound
            | ErrorKind::Corrupt
    )
}
