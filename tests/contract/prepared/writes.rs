//! Writes of every kind, made at random.

use descartes_state::serde_json::Value;
use descartes_state::uuid::Uuid;
use descartes_state::{ActorType, AgentState, Event, Session, SessionStatus, Task, TaskStatus};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::plain::Draft;
use descartes_state_testing::{any_json, any_text};

#[derive(Debug, Clone)]
pub(crate) enum Write {
    Agent(AgentState),
    AgentStatus(String, String),
    MarkAgent(String, bool),
    Task(Task),
    TaskStatus(Uuid, TaskStatus),
    MarkTask(Uuid, bool),
    Session(Session),
    Touch(String),
    End(String, SessionStatus),
    MarkSession(String, bool),
    Transition(Draft),
    Event(Event),
    Snapshot(String, Option<String>, Option<i64>),
}

/// One of few, so that rows are written again and again.
fn agent_id() -> impl Strategy<Value = String> {
    select(vec!["agent-0", "agent-1", "ägent \u{1f980}"]).prop_map(str::to_owned)
}

fn row_id() -> impl Strategy<Value = Uuid> {
    (1..4u128).prop_map(Uuid::from_u128)
}

fn some_id() -> impl Strategy<Value = String> {
    any_text().prop_map(|text| format!("i{}", text.replace('\0', "")))
}

fn agents() -> impl Strategy<Value = Write> {
    let fields = (agent_id(), any_text(), some_id(), any_json(), any_text());
    let times = (any::<i64>(), any::<i64>(), any::<i64>());
    let state = (fields, times).prop_map(|((agent_id, name, status, metadata, data), times)| {
        Write::Agent(AgentState {
            agent_id,
            name,
            status,
            metadata,
            state_data: data,
            created_at: times.0,
            updated_at: times.1,
            version: times.2,
        })
    });
    prop_oneof![
        3 => state,
        1 => (agent_id(), some_id()).prop_map(|(id, status)| Write::AgentStatus(id, status)),
        1 => (agent_id(), any::<bool>()).prop_map(|(id, delete)| Write::MarkAgent(id, delete)),
        1 => (agent_id(), option::of(any_text()), option::of(any::<i64>()))
            .prop_map(|(id, description, expires)| Write::Snapshot(id, description, expires)),
    ]
}

fn tasks() -> impl Strategy<Value = Write> {
    let status = || {
        use TaskStatus::{Blocked, Dead, Done, InProgress, Todo};
        select(vec![Todo, InProgress, Blocked, Done, Dead])
    };
    let optional = (
        option::of(any_text()),
        option::of(some_id()),
        option::of(any_json()),
    );
    let fields = (row_id(), any_text(), status(), any::<i64>(), any::<i64>());
    let task = (fields, optional).prop_map(|((id, title, status, one, two), optional)| {
        Write::Task(Task {
            id,
            title,
            description: optional.0,
            status,
            assigned_to: optional.1,
            created_at: one,
            updated_at: two,
            metadata: optional.2,
        })
    });
    prop_oneof![
        3 => task,
        1 => (row_id(), status()).prop_map(|(id, status)| Write::TaskStatus(id, status)),
        1 => (row_id(), any::<bool>()).prop_map(|(id, delete)| Write::MarkTask(id, delete)),
    ]
}

fn sessions() -> impl Strategy<Value = Write> {
    let id = || select(vec!["one", "two"]).prop_map(str::to_owned);
    let times = (option::of(any::<i64>()), any::<i64>());
    let fields = (
        id(),
        some_id(),
        times,
        any::<bool>(),
        option::of(any_json()),
    );
    let session = fields.prop_map(|(id, agent_id, (started, ended), is_over, metadata)| {
        let mut session = Session::new(id, agent_id);
        session.started_at = started;
        session.ended_at = is_over.then_some(ended);
        if is_over {
            session.status = SessionStatus::Terminated;
        }
        session.metadata = metadata;
        Write::Session(session)
    });
    let end = select(vec![SessionStatus::Completed, SessionStatus::Failed]);
    prop_oneof![
        3 => session,
        1 => id().prop_map(Write::Touch),
        1 => (id(), end).prop_map(|(id, status)| Write::End(id, status)),
        1 => (id(), any::<bool>()).prop_map(|(id, delete)| Write::MarkSession(id, delete)),
    ]
}

fn log_rows() -> impl Strategy<Value = Write> {
    let optional = || (option::of(any_text()), option::of(any_json()));
    let transition = (agent_id(), any_text(), any_text(), optional());
    let transition = transition.prop_map(|(agent_id, before, after, (reason, metadata))| {
        Write::Transition(Draft {
            agent_id,
            before,
            after,
            reason,
            metadata,
        })
    });
    // Few ids and few contents: the same again, and other content under one id.
    let content = prop_oneof![any_text(), select(vec!["", "same"]).prop_map(str::to_owned)];
    let event = (
        row_id(),
        content,
        option::of(some_id()),
        option::of(any::<bool>()),
    );
    let event = event.prop_map(|(id, content, git_commit, metadata)| {
        Write::Event(Event {
            id,
            event_type: "note".into(),
            timestamp: 5,
            session_id: "session".into(),
            actor_type: ActorType::Agent,
            actor_id: "actor".into(),
            content,
            metadata: metadata.map(Value::from),
            git_commit,
        })
    });
    prop_oneof![transition, event]
}

pub(crate) fn write() -> impl Strategy<Value = Write> {
    prop_oneof![agents(), tasks(), sessions(), log_rows()]
}
