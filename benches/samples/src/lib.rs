//! The rows that the microbenchmarks and the instruction counts work on.

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{
    ActorType, AgentState, Event, Session, SnapshotOptions, StateStoreError, Task, TaskStatus,
    Transaction, TransitionDraft,
};

/// Agents in the store, and tasks, sessions, and transitions of the first agent.
pub const AGENTS: u64 = 200;
const EVENTS_OF_A_SESSION: u64 = 500;
/// Rows of every list.
pub const PAGE: u32 = 100;
/// In every fourth event, and in every five-hundredth.
pub const COMMON_WORD: &str = "compiler";
pub const RARE_WORD: &str = "zanzibar";

/// Puts rows into every table; returns the id of a snapshot of the first agent.
pub fn fill(tx: &mut Transaction<'_>, events: u64) -> Result<String, StateStoreError> {
    for number in 0..AGENTS {
        tx.agents().save(&agent(number))?;
        tx.tasks().save(&task(number))?;
        tx.sessions().start(&session(number))?;
        tx.transitions().record(&transition(0))?;
    }
    let events: Vec<Event> = (0..events).map(event).collect();
    tx.events().append_all(&events)?;
    for _ in 0..PAGE {
        tx.snapshots()
            .create(&agent_id(0), &SnapshotOptions::default())?;
    }
    tx.snapshots()
        .create(&agent_id(0), &SnapshotOptions::default())
}

pub fn agent_id(number: u64) -> String {
    format!("agent_{:05}", number % AGENTS)
}

/// One that is in the store.
pub fn known_agent(number: u64) -> AgentState {
    agent(number % AGENTS)
}

pub fn agent(number: u64) -> AgentState {
    let steps: Vec<u64> = (number..number + 60).collect();
    AgentState {
        agent_id: format!("agent_{number:05}"),
        name: format!("Worker {number}"),
        status: "running".to_owned(),
        metadata: json!({ "type": "worker", "capacity": 100, "tags": ["production", "linux"] }),
        state_data: json!({ "tasks_processed": number, "steps": steps }).to_string(),
        created_at: 1_763_856_000,
        updated_at: 1_763_856_000,
        version: 1,
    }
}

/// A new one at every call: about 400 bytes of content.
pub fn event(number: u64) -> Event {
    let mut content =
        format!("Step {number}: the agent opened a file and ran the tests. ").repeat(7);
    for (word, every) in [(COMMON_WORD, 4), (RARE_WORD, 500)] {
        if number.is_multiple_of(every) {
            content.push_str(word);
            content.push(' ');
        }
    }
    Event {
        id: Uuid::now_v7(),
        event_type: "observation".to_owned(),
        timestamp: 1_763_856_000,
        session_id: session_id(number / EVENTS_OF_A_SESSION),
        actor_type: ActorType::Agent,
        actor_id: agent_id(number),
        content,
        metadata: Some(json!({ "step": number })),
        git_commit: None,
    }
}

pub fn transition(number: u64) -> TransitionDraft {
    let state = |status: &str| json!({ "status": status, "iteration": number }).to_string();
    TransitionDraft::new(agent_id(number), state("idle"), state("running")).reason("started")
}

pub fn task_id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number % AGENTS) + 1)
}

pub fn task(number: u64) -> Task {
    Task {
        id: task_id(number),
        title: format!("Process batch {number}"),
        description: Some("Process an incoming batch of data, and report what failed".to_owned()),
        status: TaskStatus::InProgress,
        assigned_to: Some(agent_id(number)),
        created_at: 1_763_856_000,
        updated_at: 1_763_856_000,
        metadata: Some(json!({ "batch_size": 1000 })),
    }
}

pub fn session_id(number: u64) -> String {
    format!("session_{:05}", number % AGENTS)
}

pub fn session(number: u64) -> Session {
    Session::new(session_id(number), agent_id(number)).metadata(json!({ "host": "one" }))
}
