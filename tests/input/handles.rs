//! The methods of the handles of the six aggregates, for the table.

use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, AgentState, AppendOptions, Event, EventFilter, PageRequest, SaveIf, Session,
    SessionFilter, SessionStatus, SnapshotFilter, Step, Task, TaskFilter, TransitionDraft,
    TransitionFilter,
};

use crate::table::Method::{self, Id, Input};
use crate::table::{ANY, bad, bad_agent, bad_event, deep, endless, note, page};
use descartes_state_testing::{agent, event, task};

fn with_text(metadata: &str) -> AppendOptions<'_> {
    AppendOptions::default().metadata_text(metadata)
}

pub(crate) fn table() -> Vec<(&'static str, Method)> {
    vec![
        (
            "agents.save",
            bad!(Id "agent_id", |store, id| store.agents().save(&bad_agent(id))),
        ),
        (
            "agents.save_if",
            bad!(Id "agent_id", |store, id| store.agents().save_if(&bad_agent(id), SaveIf::Absent)),
        ),
        (
            "agents.save_if",
            bad!(Input "metadata", |store, id| store.agents().save_if(&AgentState { metadata: deep(), ..agent("a") }, SaveIf::Any)),
        ),
        (
            "agents.step",
            bad!(Id "agent_id", |store, id| store.agents().step(&Step::to_status(id, "x"))),
        ),
        (
            "agents.step",
            bad!(Id "status", |store, id| store.agents().step(&Step::to_status("agent", id))),
        ),
        (
            "agents.step",
            bad!(Id "session_id", |store, id| store.agents().step(&Step::to_status("agent", "x").session(id))),
        ),
        (
            "agents.step",
            bad!(Input "metadata", |store, id| store.agents().step(&Step::to_status("agent", "x").metadata(&deep()))),
        ),
        (
            "agents.get",
            bad!(Id "agent_id", |store, id| store.agents().get(id)),
        ),
        (
            "agents.list",
            bad!(Id "status", |store, id| store.agents().list(&AgentFilter::default().status(id), &page())),
        ),
        (
            "agents.list",
            bad!(Input "page", |store, id| store.agents().list(&AgentFilter::default(), &PageRequest::new(0))),
        ),
        (
            "agents.state",
            bad!(Id "agent_id", |store, id| store.agents().state(id)),
        ),
        (
            "agents.states",
            bad!(Id "status", |store, id| store.agents().states(&AgentFilter::default().status(id), &page())),
        ),
        (
            "agents.states",
            bad!(Input "page", |store, id| store.agents().states(&AgentFilter::default(), &PageRequest::new(0))),
        ),
        (
            "agents.count",
            bad!(Id "status", |store, id| store.agents().count(&AgentFilter::default().status(id))),
        ),
        (
            "agents.set_status",
            bad!(Id "agent_id", |store, id| store.agents().set_status(id, "x", ANY)),
        ),
        (
            "agents.set_status",
            bad!(Id "status", |store, id| store.agents().set_status("agent", id, ANY)),
        ),
        (
            "agents.update",
            bad!(Id "agent_id", |store, id| store.agents().update(id, ANY, |_| Ok(()))),
        ),
        (
            "agents.delete",
            bad!(Id "agent_id", |store, id| store.agents().delete(id, ANY)),
        ),
        (
            "agents.undelete",
            bad!(Id "agent_id", |store, id| store.agents().undelete(id, ANY)),
        ),
        (
            "agents.purge",
            bad!(Id "agent_id", |store, id| store.agents().purge(id, ANY)),
        ),
        (
            "transitions.record",
            bad!(Id "agent_id", |store, id| store.transitions().record(&TransitionDraft::new(id, "x", "y"))),
        ),
        (
            "transitions.record",
            bad!(Input "metadata", |store, id| store.transitions().record(&TransitionDraft::new("a", "x", "y").metadata(deep()))),
        ),
        (
            "transitions.list",
            bad!(Id "agent_id", |store, id| store.transitions().list(&TransitionFilter::default().agent(id), &page())),
        ),
        (
            "transitions.list",
            bad!(Input "page", |store, id| store.transitions().list(&TransitionFilter::default(), &PageRequest::new(0))),
        ),
        (
            "transitions.count",
            bad!(Id "agent_id", |store, id| store.transitions().count(&TransitionFilter::default().agent(id))),
        ),
        (
            "snapshots.create",
            bad!(Id "agent_id", |store, id| store.snapshots().create(id, &note())),
        ),
        (
            "snapshots.get",
            bad!(Id "snapshot_id", |store, id| store.snapshots().get(id)),
        ),
        (
            "snapshots.list",
            bad!(Id "agent_id", |store, id| store.snapshots().list(&SnapshotFilter::default().agent(id), &page())),
        ),
        (
            "snapshots.list",
            bad!(Input "page", |store, id| store.snapshots().list(&SnapshotFilter::default(), &PageRequest::new(0))),
        ),
        (
            "snapshots.count",
            bad!(Id "agent_id", |store, id| store.snapshots().count(&SnapshotFilter::default().agent(id))),
        ),
        (
            "snapshots.restore",
            bad!(Id "snapshot_id", |store, id| store.snapshots().restore(id, ANY)),
        ),
        (
            "snapshots.update",
            bad!(Id "snapshot_id", |store, id| store.snapshots().update(id, &note(), ANY)),
        ),
        (
            "snapshots.purge",
            bad!(Id "snapshot_id", |store, id| store.snapshots().purge(id, ANY)),
        ),
        (
            "events.append",
            bad!(Id "session_id", |store, id| store.events().append(&bad_event(id))),
        ),
        (
            "events.append",
            bad!(Input "metadata", |store, id| store.events().append(&Event { metadata: Some(deep()), ..event("x") })),
        ),
        (
            "events.append_with",
            bad!(Id "session_id", |store, id| store.events().append_with(&Event { metadata: None, ..bad_event(id) }, with_text("{}"))),
        ),
        (
            "events.append_with",
            bad!(Input "metadata", |store, id| store.events().append_with(&Event { metadata: None, ..event("x") }, with_text("{a:1}"))),
        ),
        (
            "events.append_with",
            bad!(Input "metadata", |store, id| store.events().append_with(&event("x"), with_text("{}"))),
        ),
        (
            "events.append_all",
            bad!(Id "session_id", |store, id| store.events().append_all(&[event("good"), bad_event(id)])),
        ),
        (
            "events.append_all_with",
            bad!(Id "session_id", |store, id| store.events().append_all_with(&[(&event("good"), AppendOptions::default()), (&bad_event(id), AppendOptions::default())])),
        ),
        (
            "events.append_all_with",
            bad!(Input "metadata", |store, id| store.events().append_all_with(&[(&event("good"), AppendOptions::default()), (&event("x"), with_text("{}"))])),
        ),
        (
            "events.list",
            bad!(Id "session_id", |store, id| store.events().list(&EventFilter::default().session(id), &page())),
        ),
        (
            "events.list",
            bad!(Id "event_type", |store, id| store.events().list(&EventFilter::default().event_type(id), &page())),
        ),
        (
            "events.list",
            bad!(Id "actor_id", |store, id| store.events().list(&EventFilter::default().actor(id), &page())),
        ),
        (
            "events.list",
            bad!(Input "page", |store, id| store.events().list(&EventFilter::default(), &PageRequest::new(0))),
        ),
        (
            "events.ids_between",
            bad!(Input "page", |store, id| store.events().ids_between(&Uuid::nil(), &Uuid::max(), 0)),
        ),
        (
            "events.count",
            bad!(Id "actor_id", |store, id| store.events().count(&EventFilter::default().actor(id))),
        ),
        (
            "events.search",
            bad!(Id "session_id", |store, id| store.events().search("x", &EventFilter::default().session(id), &page())),
        ),
        (
            "events.search",
            bad!(Input "page", |store, id| store.events().search("x", &EventFilter::default(), &PageRequest::new(0))),
        ),
        (
            "events.search_beginnings",
            bad!(Input "page", |store, id| store.events().search_beginnings("x", &EventFilter::default(), &PageRequest::new(0))),
        ),
        (
            "tasks.save",
            bad!(Id "assigned_to", |store, id| store.tasks().save(&Task { assigned_to: Some(id.to_owned()), ..task("x") })),
        ),
        (
            "tasks.save_if",
            bad!(Input "metadata", |store, id| store.tasks().save_if(&Task { metadata: Some(deep()), ..task("x") }, SaveIf::Any)),
        ),
        (
            "tasks.list",
            bad!(Id "assigned_to", |store, id| store.tasks().list(&TaskFilter::default().assigned_to(id), &page())),
        ),
        (
            "tasks.list",
            bad!(Input "page", |store, id| store.tasks().list(&TaskFilter::default(), &PageRequest::new(0))),
        ),
        (
            "tasks.count",
            bad!(Id "assigned_to", |store, id| store.tasks().count(&TaskFilter::default().assigned_to(id))),
        ),
        (
            "sessions.start",
            bad!(Id "session_id", |store, id| store.sessions().start(&Session::new(id, "a"))),
        ),
        (
            "sessions.start",
            bad!(Id "agent_id", |store, id| store.sessions().start(&Session::new("s", id))),
        ),
        (
            "sessions.save_if",
            bad!(Input "session", |store, id| store.sessions().save_if(&endless(), SaveIf::Any)),
        ),
        (
            "sessions.touch",
            bad!(Id "session_id", |store, id| store.sessions().touch(id, ANY)),
        ),
        (
            "sessions.end",
            bad!(Id "session_id", |store, id| store.sessions().end(id, SessionStatus::Failed, ANY)),
        ),
        (
            "sessions.end",
            bad!(Input "session status", |store, id| store.sessions().end("session", SessionStatus::Active, ANY)),
        ),
        (
            "sessions.get",
            bad!(Id "session_id", |store, id| store.sessions().get(id)),
        ),
        (
            "sessions.list",
            bad!(Id "agent_id", |store, id| store.sessions().list(&SessionFilter::default().agent(id), &page())),
        ),
        (
            "sessions.list",
            bad!(Input "page", |store, id| store.sessions().list(&SessionFilter::default(), &PageRequest::new(0))),
        ),
        (
            "sessions.count",
            bad!(Id "agent_id", |store, id| store.sessions().count(&SessionFilter::default().agent(id))),
        ),
        (
            "sessions.delete",
            bad!(Id "session_id", |store, id| store.sessions().delete(id, ANY)),
        ),
        (
            "sessions.undelete",
            bad!(Id "session_id", |store, id| store.sessions().undelete(id, ANY)),
        ),
        (
            "sessions.purge",
            bad!(Id "session_id", |store, id| store.sessions().purge(id, ANY)),
        ),
    ]
}
