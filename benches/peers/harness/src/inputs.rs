//! The payloads, made before anything is measured, alike for every contestant.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::corpus::{Corpus, Word};
use crate::job::Scale;
use crate::model::{ActorType, Agent, Event, Task, Transition};
use crate::workload::{Action, Database, Workload};

/// How large an agent's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSize {
    Small,
    Medium,
    Large,
}

impl StateSize {
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Small => 1024,
            Self::Medium => 16 * 1024,
            Self::Large => 256 * 1024,
        }
    }

    /// How many agents have such a state: what is written over must not need gigabytes.
    fn agents(self, scale: Scale) -> usize {
        match self {
            Self::Small => scale.agents,
            Self::Medium => scale.agents.min(64),
            Self::Large => scale.agents.min(16),
        }
    }

    /// How many different states an agent has.
    fn states(self) -> usize {
        match self {
            Self::Small | Self::Medium => 4,
            Self::Large => 2,
        }
    }
}

/// Why an agent takes a step.
pub const STEP_REASON: &str = "the step is done";

/// 2025-11-23, for everything that a caller dates.
const NOW: i64 = 1_763_856_000;

#[derive(Debug)]
pub struct Inputs {
    /// The first state of every agent, then the second of every agent, …
    pub agents: Vec<Agent>,
    pub transitions: Vec<Transition>,
    pub tasks: Vec<Task>,
    /// Templates: each append puts an id into one of them.
    pub(crate) events: Vec<Event>,
    agent_count: usize,
    word: Option<Word>,
    scale: Scale,
}

impl Inputs {
    pub const TASKS: usize = 128;
    /// Agents with very many transitions.
    pub const BUSY_AGENTS: usize = 4;

    #[must_use]
    pub fn new(corpus: &Corpus, workload: &Workload, scale: Scale) -> Self {
        let size = match workload.action {
            Action::Save { size, .. } => size,
            _ => StateSize::Small,
        };
        let agent_count = match workload.database {
            Database::Large => scale.listed,
            _ => size.agents(scale),
        };
        Self {
            agents: (0..agent_count * size.states())
                .map(|place| agent(corpus, place % agent_count, place / agent_count, size))
                .collect(),
            transitions: (0..256)
                .map(|place| transition(corpus, &agent_id(place % agent_count), place))
                .collect(),
            tasks: (0..Self::TASKS).map(task).collect(),
            events: (0..2048).map(|place| event(corpus, place)).collect(),
            agent_count,
            word: match workload.action {
                Action::Search(word) => Some(word),
                _ => None,
            },
            scale,
        }
    }

    #[must_use]
    pub fn agent_count(&self) -> usize {
        self.agent_count
    }

    /// The word to search for.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.word.map_or("", Word::text)
    }

    pub(crate) fn hits(&self) -> usize {
        self.word.map_or(0, |word| word.hits(self.scale.events))
    }

    #[must_use]
    pub fn pages(&self) -> usize {
        self.scale.listed / 100
    }

    pub(crate) fn bulk(&self) -> usize {
        self.scale.bulk
    }

    pub(crate) fn fresh_event(&self, template: usize) -> Event {
        Event {
            id: Uuid::now_v7(),
            ..self.events[template].clone()
        }
    }

    /// The id of the last agent before a page; "" for the first page.
    #[must_use]
    pub fn before_page(page: usize) -> String {
        match page {
            0 => String::new(),
            page => agent_id(page * 100 - 1),
        }
    }
}

#[must_use]
pub fn agent_id(number: usize) -> String {
    format!("agent{number:06}")
}

/// A state of an agent, with about 150 bytes of metadata.
#[must_use]
pub fn agent(corpus: &Corpus, number: usize, state: usize, size: StateSize) -> Agent {
    Agent {
        agent_id: agent_id(number),
        name: format!("Worker {number}"),
        status: ["idle", "running", "paused"][(number + state) % 3].to_owned(),
        metadata: json!({
            "type": "worker",
            "capacity": 100 + number,
            "tags": ["production", "batch", "europe"],
            "model": "large-2025-11",
            "limits": { "tokens": 200_000, "seconds": 3600.5 },
            "attempt": state,
        }),
        state_data: corpus.text(number * 31 + state, size.bytes()),
        created_at: NOW,
        updated_at: NOW + state as i64,
        version: 1,
    }
}

/// An event without an id.
#[must_use]
pub fn event(corpus: &Corpus, number: usize) -> Event {
    Event {
        id: Uuid::nil(),
        event_type: ["thought", "action", "observation", "tool_call"][number % 4].to_owned(),
        timestamp: NOW + number as i64,
        session_id: format!("session{:04}", number % 100),
        actor_type: [ActorType::Agent, ActorType::User, ActorType::System][number % 3],
        actor_id: agent_id(number % 50),
        content: corpus.content(number).to_owned(),
        metadata: Some(json!({ "step": number, "tool": "shell", "cost": 0.0125 })),
        git_commit: number
            .is_multiple_of(2)
            .then(|| format!("{:040x}", number * 2_654_435_761)),
    }
}

/// The same with the planted words.
#[must_use]
pub fn searchable_event(corpus: &Corpus, number: usize) -> Event {
    let mut event = event(corpus, number);
    for word in Word::ALL {
        if word.is_in(number) {
            event.content.push(' ');
            event.content.push_str(word.text());
        }
    }
    event
}

#[must_use]
pub fn transition(corpus: &Corpus, agent_id: &str, number: usize) -> Transition {
    Transition {
        agent_id: agent_id.to_owned(),
        state_before: corpus.text(number, 200),
        state_after: corpus.text(number + 1, 200),
        reason: Some(STEP_REASON.to_owned()),
        metadata: Some(json!({ "step": number, "by": "planner" })),
    }
}

#[must_use]
pub fn task(number: usize) -> Task {
    const NAMESPACE: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;
    let metadata: Value = json!({ "priority": number % 5, "labels": ["parser", "bug"] });
    Task {
        id: Uuid::from_u128(NAMESPACE + number as u128),
        title: format!("Mend the parser, part {number}"),
        description: Some("It reads the last line twice where the file has no newline.".to_owned()),
        status: ["todo", "in_progress", "blocked", "done"][number % 4].to_owned(),
        assigned_to: Some(agent_id(number)),
        created_at: NOW,
        updated_at: NOW,
        metadata: Some(metadata),
    }
}
