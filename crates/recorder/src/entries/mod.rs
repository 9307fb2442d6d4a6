//! What lines become: the rows of one transaction.
//!
//! ```
//! use descartes_state::{EventFilter, SqliteStateStore};
//! use descartes_state_recorder::entries::{Entries, EntryReader};
//! use descartes_state_recorder::lines::{Splitter, Stream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqliteStateStore::temporary().await?;
//! let mut reader = EntryReader::new("coder", "session_001", true, store.limits());
//! let mut entries = Entries::default();
//! let mut splitter = Splitter::new(Stream::Stdout, 1024);
//! for line in splitter.feed(b"{\"event_type\":\"thought\",\"content\":\"so\"}\nplain\n", 1_763_856_000) {
//!     reader.add(line, &mut entries);
//! }
//! store.transact(move |tx| entries.write(tx)).await?;
//! assert_eq!(store.events().count(&EventFilter::default()).await?, 2);
//! # Ok(())
//! # }
//! ```

mod named;
mod rows;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{ActorType, Event, Limits, Session, new_id};

use crate::lines::{Line, Stream, last_frame};
use crate::object_text::ObjectText;
use crate::states::LastStates;
use crate::structured::{self, Structured};
use named::{Named, id_of_named};
pub use rows::Entries;
pub(crate) use rows::{Refused, is_of_content};
use rows::{Row, StateChange};

/// Turns lines into entries; knows which sessions, agents and states there were in this run.
#[derive(Debug)]
pub struct EntryReader {
    agent_id: String,
    session_id: String,
    is_jsonl: bool,
    limits: Limits,
    sessions: LastStates,
    agents: BTreeSet<String>,
    has_own_state: bool,
    /// By what lines without an id of their own are known again.
    source: Option<String>,
    /// How often each line with an id came.
    repeats: HashMap<Uuid, u64>,
    /// What was first said under each id.
    first: HashMap<Uuid, Uuid>,
    unstructured: Unstructured,
}

/// Lines that begin like objects, and could not be used as such.
#[derive(Debug, Clone, Default)]
pub struct Unstructured {
    /// How many.
    pub lines: u64,
    /// What was wrong with the first.
    pub reason: Option<String>,
}

/// What the ids of events are made in that are made of what they say (RFC 9562, section 5.5).
const NAMED_EVENTS: Uuid = Uuid::from_u128(0x6d1f_2c1e_8a54_4d0c_9b7e_5a3f_0c9d_2e41);

impl EntryReader {
    /// Reads lines of this agent and session for a store with these limits; with `is_jsonl`, lines that are JSON objects
    /// may name others.
    #[must_use]
    pub fn new(agent_id: &str, session_id: &str, is_jsonl: bool, limits: &Limits) -> Self {
        Self {
            agent_id: agent_id.to_owned(),
            session_id: session_id.to_owned(),
            is_jsonl,
            limits: limits.clone(),
            sessions: LastStates::default(),
            agents: BTreeSet::new(),
            has_own_state: false,
            source: None,
            repeats: HashMap::new(),
            first: HashMap::new(),
            unstructured: Unstructured::default(),
        }
    }

    /// Names the input, so that its lines are known again where it comes a second time: by name, stream, number and content.
    /// Lines with an `id` are known by that.
    #[must_use]
    pub fn source(mut self, name: Option<String>) -> Self {
        self.source = name;
        self
    }

    /// Returns which lines could not be used as objects.
    #[must_use]
    pub fn unstructured(&self) -> &Unstructured {
        &self.unstructured
    }

    /// Returns the sessions that lines named.
    #[must_use]
    pub fn sessions(&self) -> Vec<String> {
        let named = self
            .sessions
            .sessions()
            .filter(|id| **id != self.session_id);
        let mut named: Vec<String> = named.cloned().collect();
        named.sort();
        named
    }

    /// Returns the agents that lines named.
    #[must_use]
    pub fn agents(&self) -> Vec<String> {
        self.agents.iter().cloned().collect()
    }

    /// Returns whether a line set the state of the agent itself.
    #[must_use]
    pub fn has_own_state(&self) -> bool {
        self.has_own_state
    }

    /// Adds one line, or one part of a line, as exactly one event; what has come of one that isn't over is marked `interim`.
    pub fn add(&mut self, line: Line, entries: &mut Entries) {
        let stream = line.stream.as_str();
        let mut metadata = ObjectText::default();
        metadata.push_text("stream", stream);
        metadata.push_number("line", line.number);
        if let Some(part) = line.part {
            metadata.push_number("part", part.number);
            if part.is_last {
                metadata.push_number("parts", part.number);
            }
        }
        if line.is_interim {
            entries.interim += 1;
            metadata.push_mark("interim");
        } else if !line.is_terminated {
            metadata.push_mark("unterminated");
        }
        let is_whole = line.part.is_none() && !line.is_interim;
        let is_text = line.part.is_none() && line.stream != Stream::Screen;
        let dropped_frames = line.frames;
        let read_at = line.read_at;
        let place = format!(
            "{stream}\0{}\0{}",
            line.number,
            line.part.map_or(0, |part| part.number)
        );
        let source = self.source.as_ref().filter(|_| !line.is_interim);
        let id = source.map(|source| {
            let name = [source.as_bytes(), place.as_bytes(), &line.bytes].join(&0);
            Uuid::new_v5(&NAMED_EVENTS, &name)
        });
        entries.named.extend(id.map(Named::by_content));
        let text = match self.text(line.bytes) {
            Ok(text) => text,
            Err(bytes) => {
                metadata.push_hexadecimal("raw_hex", &bytes);
                let mut content = String::from_utf8_lossy(&bytes).into_owned();
                if !self.limits.keeps_nul() {
                    content = content.replace('\0', "\u{fffd}");
                }
                let row = self.plain(id, stream, content, metadata, read_at);
                return entries.events.push(row);
            }
        };
        if self.is_jsonl && is_whole {
            match structured::parse(&text, &self.limits) {
                Ok(Some(parsed)) => {
                    return self.structured(parsed, id, stream, text, read_at, entries);
                }
                Ok(None) => {}
                Err(reason) => {
                    self.unstructured.lines += 1;
                    self.unstructured
                        .reason
                        .get_or_insert_with(|| reason.clone());
                    metadata.push_text("not_structured", &reason);
                }
            }
        }
        // An object's white space may be CR too.
        let may_be_redrawn = is_text && !(self.is_jsonl && text.trim_start().starts_with('{'));
        let frame = match last_frame(&text) {
            Some((frame, frames)) if may_be_redrawn => {
                metadata.push_number("frames", dropped_frames + frames);
                Some(frame.to_owned())
            }
            _ => None,
        };
        let row = self.plain(id, stream, frame.unwrap_or(text), metadata, read_at);
        entries.events.push(row);
    }

    /// Returns the bytes as a text that the store can keep; as they are where they are none.
    fn text(&self, bytes: Vec<u8>) -> Result<String, Vec<u8>> {
        if !self.limits.keeps_nul() && bytes.contains(&0) {
            return Err(bytes);
        }
        String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)
    }

    /// Returns the id of an event whose sender has named it. Repeats within one input are events of their own; the same
    /// input once more has the same ids. Also returns whether the name stood for something else before.
    fn named(&mut self, session_id: &str, name: &str, line: &str) -> (Uuid, bool) {
        let key = Uuid::new_v5(&NAMED_EVENTS, [session_id, name].join("\0").as_bytes());
        let said = Uuid::new_v5(&key, line.as_bytes());
        let is_other = *self.first.entry(key).or_insert(said) != said;
        let repeats = self.repeats.entry(said).or_default();
        let id = id_of_named(key, said, *repeats);
        *repeats += 1;
        (id, is_other)
    }

    fn plain(
        &self,
        id: Option<Uuid>,
        stream: &str,
        content: String,
        metadata: ObjectText,
        read_at: i64,
    ) -> Row {
        let event = Event {
            id: id.unwrap_or_else(new_id),
            event_type: stream.to_owned(),
            timestamp: read_at,
            session_id: self.session_id.clone(),
            actor_type: ActorType::Agent,
            actor_id: self.agent_id.clone(),
            content,
            metadata: None,
            git_commit: None,
        };
        Row {
            event,
            metadata: Some(metadata.into_json()),
            // What is drawn on a whole screen is no text.
            is_searchable: stream != Stream::Screen.as_str(),
            says_other: false,
        }
    }

    fn structured(
        &mut self,
        parsed: Structured,
        id: Option<Uuid>,
        stream: &str,
        text: String,
        read_at: i64,
        entries: &mut Entries,
    ) {
        let agent_id = parsed.agent.unwrap_or_else(|| self.agent_id.clone());
        let session_id = parsed.session.unwrap_or_else(|| self.session_id.clone());
        if agent_id != self.agent_id && self.agents.insert(agent_id.clone()) {
            entries.agents.push(agent_id.clone());
        }
        if session_id != self.session_id && self.sessions.open(&session_id) {
            let session = Session::new(&session_id, &agent_id)
                .started_at(read_at)
                .metadata(json!({ "recorded_in": self.session_id }));
            entries.run.clone_from(&self.session_id);
            entries.sessions.push(session);
        }
        let mut says_other = false;
        let id = match &parsed.id {
            Some(name) => {
                let (id, is_other) = self.named(&session_id, name, &text);
                entries.named.push(Named::by_sender(id));
                says_other = is_other;
                id
            }
            None => id.unwrap_or_else(new_id),
        };
        let event = Event {
            id,
            event_type: parsed.event_type.unwrap_or_else(|| stream.to_owned()),
            timestamp: parsed.timestamp.unwrap_or(read_at),
            session_id,
            actor_id: parsed.actor_id.unwrap_or_else(|| match parsed.actor_type {
                ActorType::Agent => agent_id.clone(),
                other => other.to_string(),
            }),
            actor_type: parsed.actor_type,
            content: parsed.content.unwrap_or(text),
            metadata: None,
            git_commit: None,
        };
        if let Some(state) = parsed.state {
            self.change_state(&agent_id, state, &event, entries);
        }
        let metadata = parsed.metadata.map(ObjectText::into_json);
        entries.events.push(Row {
            event,
            metadata,
            is_searchable: true,
            says_other,
        });
    }

    fn change_state(
        &mut self,
        agent_id: &str,
        state: String,
        event: &Event,
        entries: &mut Entries,
    ) {
        self.has_own_state |= agent_id == self.agent_id;
        let (id, after) = (new_id(), Arc::<str>::from(state));
        entries.transitions.push(StateChange {
            id,
            event_id: event.id,
            agent_id: agent_id.to_owned(),
            before: self
                .sessions
                .change(&event.session_id, agent_id, id, &after),
            after,
            reason: event.event_type.clone(),
            metadata: json!({ "session_id": event.session_id, "event_id": event.id }),
            at: event.timestamp,
        });
    }
}
