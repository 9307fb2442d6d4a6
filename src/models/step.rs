//! Steps: what an agent's loop writes again and again, as one operation.

use serde_json::Value;
use uuid::Uuid;

use super::body::Body;
use super::footprint::Footprint;
use super::stored::is_json;
use super::{AgentState, AppendOptions, Event, NewAgent, NewEvent, Scope, StateTransition};
use crate::clock::new_id;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::numbers::{Revision, Seq};

/// A step of an agent: its new state, the transition to it with the reason, events, and a sign of life of its session.
///
/// All of it is written at once or not at all. The transition's `state_before` is what the agent's row holds when the step
/// runs, and `''` where there is no agent.
///
/// ```
/// use descartes_state::{Revision, SaveIf, Step};
///
/// let step = Step::to_status("agent_001", "waiting")
///     .expect(SaveIf::Revision(Revision::from(7)))
///     .reason("the tool runs")
///     .session("session_001");
/// ```
#[derive(Debug, Clone)]
#[must_use = "a step is taken by `agents().step(..)`"]
pub struct Step<'a> {
    target: Target<'a>,
    condition: SaveIf,
    id: Option<Uuid>,
    timestamp: Option<i64>,
    reason: Option<&'a str>,
    metadata: Option<&'a Value>,
    events: Vec<(&'a Event, AppendOptions<'a>)>,
    session_id: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
enum Target<'a> {
    State(&'a AgentState),
    Status {
        agent_id: &'a str,
        status: &'a str,
    },
    StateData {
        agent_id: &'a str,
        state_data: &'a str,
    },
}

impl<'a> Step<'a> {
    /// Describes a step to this state. It makes the agent where there is none.
    pub fn to(state: &'a AgentState) -> Self {
        Self::new(Target::State(state))
    }

    /// Describes a step of an agent that exists to another status (512 bytes); its state data stays.
    pub fn to_status(agent_id: &'a str, status: &'a str) -> Self {
        Self::new(Target::Status { agent_id, status })
    }

    /// Describes a step of an agent that exists to other state data (64 MiB); its status stays.
    pub fn to_state_data(agent_id: &'a str, state_data: &'a str) -> Self {
        Self::new(Target::StateData {
            agent_id,
            state_data,
        })
    }

    fn new(target: Target<'a>) -> Self {
        Self {
            target,
            condition: SaveIf::Any,
            id: None,
            timestamp: None,
            reason: None,
            metadata: None,
            events: Vec::new(),
            session_id: None,
        }
    }

    /// Sets what the agent's row is expected to be (whatever it is): a [`SaveIf`], a [`ChangeIf`], or a [`Revision`].
    pub fn expect(mut self, condition: impl Into<SaveIf>) -> Self {
        self.condition = condition.into();
        self
    }

    /// Sets why (64 KiB).
    pub fn reason(mut self, reason: &'a str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Sets the metadata of the transition: anything, as JSON (1 MiB, 100 levels).
    pub fn metadata(mut self, metadata: &'a Value) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Adds an event, after those that were added before.
    pub fn event(self, event: &'a Event) -> Self {
        self.event_with(event, AppendOptions::default())
    }

    /// As [`event`](Self::event), with options.
    pub fn event_with(mut self, event: &'a Event, options: AppendOptions<'a>) -> Self {
        self.events.push((event, options));
        self
    }

    /// Adds events in their order, after those that were added before; at most [`Limits::bulk_rows`](crate::Limits::bulk_rows)
    /// (100,000) in one step.
    pub fn events(mut self, events: &'a [Event]) -> Self {
        let events = events.iter().map(|event| (event, AppendOptions::default()));
        self.events.extend(events);
        self
    }

    /// Touches this session: it exists, and isn't over.
    pub fn session(mut self, session_id: &'a str) -> Self {
        self.session_id = Some(session_id);
        self
    }

    /// Sets the id of the transition (a new one). A step with an id may be taken again, as after an unknown outcome: one
    /// whose transition is stored already, and says the same, changes neither agent nor session once more, and appends only
    /// events that aren't stored.
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the time of the transition, in Unix seconds (when the step is taken).
    pub fn timestamp(mut self, seconds: i64) -> Self {
        self.timestamp = Some(seconds);
        self
    }

    fn agent_id(&self) -> &'a str {
        match self.target {
            Target::State(state) => &state.agent_id,
            Target::Status { agent_id, .. } | Target::StateData { agent_id, .. } => agent_id,
        }
    }
}

/// What a step wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stepped {
    /// The agent's new revision.
    pub revision: Revision,
    /// The place of the transition in the order of all transitions.
    pub transition: Seq,
    /// The places of the events, in the order in which they were added.
    pub events: Vec<Seq>,
    /// The new revision of the session that was touched.
    pub session: Option<Revision>,
}

/// A step on its way in, checked and encoded.
#[derive(Debug, Clone)]
pub(crate) struct NewStep<'e> {
    pub(crate) agent_id: String,
    pub(crate) change: NewStepChange,
    pub(crate) transition: StepTransition,
    pub(crate) events: Vec<NewEvent<'e>>,
    pub(crate) session_id: Option<String>,
}

/// What becomes of the agent, and on which condition.
#[derive(Debug, Clone)]
pub(crate) enum NewStepChange {
    State(Box<NewAgent>, SaveIf),
    Status(String, ChangeIf),
    StateData(Body, ChangeIf),
}

/// The transition of a step, but for the states.
#[derive(Debug, Clone)]
pub(crate) struct StepTransition {
    pub(crate) id: String,
    /// Whether the caller gave it its id.
    pub(crate) has_given_id: bool,
    pub(crate) given_time: Option<i64>,
    pub(crate) timestamp: i64,
    pub(crate) reason: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) recorded_at: i64,
}

impl<'e> NewStep<'e> {
    pub(crate) fn prepare(scope: &Scope, step: &Step<'e>) -> Result<Self, StateStoreError> {
        let limits = &scope.limits;
        let condition = || match step.condition {
            SaveIf::Any => Ok(ChangeIf::Any),
            SaveIf::Revision(revision) => Ok(ChangeIf::Revision(revision)),
            SaveIf::Absent => Err(StateStoreError::invalid(
                "condition",
                "an agent that must not exist can't change its status or state data: give the whole state",
            )),
        };
        let change = match step.target {
            Target::State(state) => {
                let row = NewAgent::prepare(scope, state)?;
                NewStepChange::State(Box::new(row), step.condition)
            }
            Target::Status { status, .. } => {
                NewStepChange::Status(limits.id("status", status)?.to_owned(), condition()?)
            }
            Target::StateData { state_data, .. } => {
                let state_data = limits.state("state_data", state_data)?;
                let encoded = scope.compression.encode("state_data", state_data)?;
                NewStepChange::StateData(Body(encoded), condition()?)
            }
        };
        limits.bulk(step.events.len())?;
        let now = scope.clock.now();
        let events = step.events.iter();
        let events = events.map(|(event, options)| NewEvent::prepare_with(scope, event, *options));
        Ok(Self {
            agent_id: limits.id("agent_id", step.agent_id())?.to_owned(),
            change,
            transition: StepTransition {
                id: step.id.unwrap_or_else(new_id).to_string(),
                has_given_id: step.id.is_some(),
                given_time: step.timestamp,
                timestamp: step.timestamp.unwrap_or(now.seconds),
                reason: limits.optional_text("reason", step.reason)?,
                metadata: limits.optional_metadata(step.metadata)?,
                recorded_at: now.micros,
            },
            events: events.collect::<Result<_, _>>()?,
            session_id: limits.optional_id("session_id", step.session_id)?,
        })
    }

    /// Returns the new state; `None` where it stays.
    pub(crate) fn state_after(&self) -> Option<&Body> {
        match &self.change {
            NewStepChange::State(row, _) => Some(&row.state_data),
            NewStepChange::StateData(body, _) => Some(body),
            NewStepChange::Status(..) => None,
        }
    }

    /// Returns whether a stored transition says the same as this step's.
    pub(crate) fn says_the_same_as(&self, stored: &StateTransition) -> bool {
        let new = &self.transition;
        self.agent_id == stored.agent_id
            && self
                .state_after()
                .is_none_or(|state| state.is_text(&stored.state_after))
            && new.reason == stored.reason
            && new.given_time.is_none_or(|time| time == stored.timestamp)
            && is_json(new.metadata.as_deref(), stored.metadata.as_ref())
    }
}

impl Footprint for NewStep<'_> {
    type Held = NewStep<'static>;

    fn bytes(&self) -> usize {
        let change = match &self.change {
            // For the agent and for the transition.
            NewStepChange::State(row, _) => row.bytes() + row.state_data.bytes(),
            NewStepChange::Status(status, _) => status.bytes(),
            NewStepChange::StateData(body, _) => 2 * body.bytes(),
        };
        size_of::<Self>()
            + self.agent_id.bytes()
            + change
            + self.transition.reason.bytes()
            + self.transition.metadata.bytes()
            + self.events.bytes()
            + self.session_id.bytes()
    }

    fn operations(&self) -> usize {
        2 + self.events.len() + usize::from(self.session_id.is_some())
    }

    fn name_rows(&self, _: &'static str, name: &mut dyn FnMut(&'static str, &str)) {
        name("agents", &self.agent_id);
        if let Some(session_id) = &self.session_id {
            name("sessions", session_id);
        }
    }

    fn held(self) -> NewStep<'static> {
        NewStep {
            agent_id: self.agent_id,
            change: self.change,
            transition: self.transition,
            events: self.events.held(),
            session_id: self.session_id,
        }
    }
}
