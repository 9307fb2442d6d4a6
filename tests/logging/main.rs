//! What the store's spans and events say, and what they never say.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use descartes_state::{
    ActorType, AgentState, Event, Revision, SaveIf, SqliteStateStore, Task, TaskStatus,
    TransitionDraft,
};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event as LogEvent, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use uuid::Uuid;

/// Keeps all that any crate in the process logs, at every level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Everything {
    fn keep(&self, name: &str, record: impl FnOnce(&mut Line)) {
        let mut line = Line(name.to_owned());
        record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

impl<S: Subscriber> Layer<S> for Everything {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.keep(attributes.metadata().name(), |line| {
            attributes.record(line);
        });
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.keep("record", |line| values.record(line));
    }

    fn on_event(&self, event: &LogEvent<'_>, _: Context<'_, S>) {
        self.keep(event.metadata().name(), |line| event.record(line));
    }
}

const SECRET: &str = "swordfish";

#[tokio::test]
async fn each_operation_has_a_span_and_none_holds_a_value() {
    let log = Everything::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let store = SqliteStateStore::temporary().await.unwrap();
    let store = store.with_prefix(SECRET);
    let state = AgentState {
        agent_id: SECRET.into(),
        name: SECRET.into(),
        status: SECRET.into(),
        metadata: json!({ SECRET: SECRET }),
        state_data: SECRET.into(),
        created_at: 0,
        updated_at: 0,
        version: 1,
    };
    store.save_agent_state(&state).await.unwrap();
    store.load_agent_state(SECRET).await.unwrap();
    store.list_agents().await.unwrap();
    let stale = store
        .agents()
        .save_if(&state, SaveIf::Revision(Revision::from(7)))
        .await;
    assert!(stale.is_err());
    let draft = TransitionDraft::new(SECRET, SECRET, SECRET).reason(SECRET);
    store.transitions().record(&draft).await.unwrap();
    store
        .create_snapshot(SECRET, Some(SECRET.into()))
        .await
        .unwrap();
    let event = Event {
        id: Uuid::now_v7(),
        event_type: SECRET.into(),
        timestamp: 0,
        session_id: SECRET.into(),
        actor_type: ActorType::Agent,
        actor_id: SECRET.into(),
        content: SECRET.into(),
        metadata: Some(json!(SECRET)),
        git_commit: Some(SECRET.into()),
    };
    store.save_event(&event).await.unwrap();
    store.search_events(SECRET).await.unwrap();
    let task = Task {
        id: Uuid::now_v7(),
        title: SECRET.into(),
        description: Some(SECRET.into()),
        status: TaskStatus::Todo,
        assigned_to: Some(SECRET.into()),
        created_at: 0,
        updated_at: 0,
        metadata: Some(json!(SECRET)),
    };
    store.save_task(&task).await.unwrap();
    store.transact(|_| Ok(())).await.unwrap();

    let lines = log.0.lock().unwrap();
    for operation in [
        "open",
        "initialize",
        "agents.save",
        "events.search",
        "transact",
    ] {
        let wanted = format!("state_store operation=\"{operation}\"");
        assert!(lines.contains(&wanted), "no span says {wanted}: {lines:?}");
    }
    for line in lines.iter() {
        assert!(!line.contains(SECRET), "{line} holds a value");
    }
}
