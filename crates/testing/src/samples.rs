//! The one set of sample values.

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{ActorType, AgentState, Event, Task, TaskStatus};

/// What the clock of a store under test shows, in Unix seconds, where it has a clock of its own.
pub const NOW: i64 = 1_763_856_000;

/// Returns an idle agent.
#[must_use]
pub fn agent(id: &str) -> AgentState {
    AgentState {
        agent_id: id.to_owned(),
        name: format!("Agent {id}"),
        status: "idle".to_owned(),
        metadata: json!({ "type": "worker", "load": 0.1 }),
        state_data: r#"{"step":1}"#.to_owned(),
        created_at: 1_000,
        updated_at: 2_000,
        version: 1,
    }
}

/// Returns an event with an id of its own.
#[must_use]
pub fn event(content: &str) -> Event {
    Event {
        id: Uuid::now_v7(),
        event_type: "note".to_owned(),
        timestamp: 3_000,
        session_id: "session".to_owned(),
        actor_type: ActorType::Agent,
        actor_id: "actor".to_owned(),
        content: content.to_owned(),
        metadata: Some(json!({ "n": 1 })),
        git_commit: Some("0a1b2c".to_owned()),
    }
}

/// Returns an event whose id is made from a number, the same in each run.
#[must_use]
pub fn numbered_event(number: u128, content: &str) -> Event {
    Event {
        id: Uuid::from_u128(number),
        ..event(content)
    }
}

/// Returns a task with an id of its own.
#[must_use]
pub fn task(title: &str) -> Task {
    Task {
        id: Uuid::now_v7(),
        title: title.to_owned(),
        description: Some("more about it".to_owned()),
        status: TaskStatus::Todo,
        assigned_to: Some("agent".to_owned()),
        created_at: 1_000,
        updated_at: 2_000,
        metadata: Some(json!([1, "two"])),
    }
}

/// Returns a task whose id is made from a number, the same in each run.
#[must_use]
pub fn numbered_task(number: u128) -> Task {
    Task {
        id: Uuid::from_u128(number),
        ..task(&format!("Task {number}"))
    }
}
