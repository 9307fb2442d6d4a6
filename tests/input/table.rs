//! Every public async method, and what may be bad about what it takes.

use std::future::Future;
use std::pin::Pin;

use descartes_state::serde_json::{Value, json};
use descartes_state::{
    AgentState, AnyStateStore, ChangeIf, Event, PageRequest, Session, SessionStatus,
    SnapshotOptions, StateStoreError, Task,
};

use crate::handles;
use descartes_state_testing::{agent, event, task};

pub(crate) type Call =
    for<'a> fn(
        &'a AnyStateStore,
        &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), StateStoreError>> + Send + 'a>>;

#[derive(Clone, Copy)]
pub(crate) enum Method {
    /// The field that the error names, and the call with a bad id: empty, or with a NUL character.
    Id(&'static str, Call),
    /// The field, and a call whose input is bad in its own way.
    Input(&'static str, Call),
    /// It takes nothing that could be bad, for this reason.
    Nothing(&'static str),
}

use Method::{Id, Nothing};

macro_rules! bad {
    ($kind:ident $field:literal, |$store:ident, $id:ident| $($call:tt)+) => {
        $kind($field, |$store, $id| {
            Box::pin(async move {
                // Calls that are bad in their own way take no id.
                let _ = $id;
                let result = $($call)+.await;
                result.map(drop)
            })
        })
    };
}

pub(crate) use bad;

pub(crate) const ANY: ChangeIf = ChangeIf::Any;

pub(crate) fn page() -> PageRequest {
    PageRequest::default()
}

pub(crate) fn deep() -> Value {
    (0..1_000).fold(json!(1), |inner, _| json!([inner]))
}

pub(crate) fn bad_agent(id: &str) -> AgentState {
    agent(id)
}

pub(crate) fn bad_event(id: &str) -> Event {
    Event {
        session_id: id.to_owned(),
        ..event("x")
    }
}

/// A session that is over and has no end.
pub(crate) fn endless() -> Session {
    let mut session = Session::new("s", "a");
    session.status = SessionStatus::Completed;
    session
}

pub(crate) fn note() -> SnapshotOptions {
    SnapshotOptions::default()
}

/// Several rows a method, where it takes several things.
pub(crate) fn table() -> Vec<(&'static str, Method)> {
    let mut table = of_the_store();
    table.extend(handles::table());
    table
}

fn of_the_store() -> Vec<(&'static str, Method)> {
    vec![
        (
            "new",
            Nothing("its paths have tests of their own: paths.rs"),
        ),
        (
            "open",
            Nothing("its paths and options have tests of their own: paths.rs, options.rs"),
        ),
        (
            "connect",
            Nothing("its URLs have tests of their own: tests/postgres/server.rs"),
        ),
        (
            "copy_store",
            Nothing("what it refuses has tests of its own: tests/copy/refused.rs"),
        ),
        ("temporary", Nothing("it takes nothing")),
        (
            "temporary_with",
            Nothing("its options have tests of their own: options.rs"),
        ),
        ("close", Nothing("it takes nothing")),
        ("events.check_search", Nothing("it takes nothing")),
        ("events.rebuild_search", Nothing("it takes nothing")),
        ("initialize", Nothing("it takes nothing")),
        ("get_migration_history", Nothing("it takes nothing")),
        ("list_agents", Nothing("it takes nothing")),
        ("get_tasks", Nothing("it takes nothing")),
        ("get_task", Nothing("every UUID is an id")),
        (
            "search_events",
            Nothing("every text is words; its size has a limit: limits.rs"),
        ),
        ("migrations.applied", Nothing("it takes nothing")),
        ("migrations.pending", Nothing("it takes nothing")),
        ("migrations.preview_revert", Nothing("it takes nothing")),
        ("migrations.revert", Nothing("it takes nothing")),
        (
            "transitions.purge_before",
            Nothing("every second is a time"),
        ),
        ("events.purge_before", Nothing("every second is a time")),
        ("transitions.get", Nothing("every UUID is an id")),
        ("events.get", Nothing("every UUID is an id")),
        ("tasks.get", Nothing("every UUID is an id")),
        (
            "tasks.set_status",
            Nothing("ids and statuses are types without bad values"),
        ),
        ("tasks.delete", Nothing("every UUID is an id")),
        ("tasks.undelete", Nothing("every UUID is an id")),
        ("tasks.purge", Nothing("every UUID is an id")),
        ("snapshots.purge_expired", Nothing("it takes nothing")),
        (
            "batch.commit",
            bad!(Id "agent_id", |store, id| async {
                let mut batch = store.batch();
                batch.agents().save(&bad_agent(id))?;
                batch.commit().await
            }),
        ),
        (
            "transact",
            bad!(Id "agent_id", |store, id| { let id = id.to_owned(); store.transact(move |tx| tx.agents().save(&bad_agent(&id))) }),
        ),
        (
            "try_transact",
            bad!(Id "session_id", |store, id| { let id = id.to_owned(); store.try_transact::<_, StateStoreError, _>(move |tx| tx.events().append(&bad_event(&id))) }),
        ),
        (
            "read",
            bad!(Id "agent_id", |store, id| { let id = id.to_owned(); store.read(move |tx| tx.agents().get(&id)) }),
        ),
        (
            "save_agent_state",
            bad!(Id "agent_id", |store, id| store.save_agent_state(&bad_agent(id))),
        ),
        (
            "save_agent_state",
            bad!(Id "status", |store, id| store.save_agent_state(&AgentState { status: id.to_owned(), ..agent("a") })),
        ),
        (
            "load_agent_state",
            bad!(Id "agent_id", |store, id| store.load_agent_state(id)),
        ),
        (
            "update_agent_status",
            bad!(Id "agent_id", |store, id| store.update_agent_status(id, "x")),
        ),
        (
            "update_agent_status",
            bad!(Id "status", |store, id| store.update_agent_status("agent", id)),
        ),
        (
            "delete_agent",
            bad!(Id "agent_id", |store, id| store.delete_agent(id)),
        ),
        (
            "record_state_transition",
            bad!(Id "agent_id", |store, id| store.record_state_transition(id, "x", "y", None)),
        ),
        (
            "get_state_history",
            bad!(Id "agent_id", |store, id| store.get_state_history(id, 1)),
        ),
        (
            "create_snapshot",
            bad!(Id "agent_id", |store, id| store.create_snapshot(id, None)),
        ),
        (
            "list_snapshots",
            bad!(Id "agent_id", |store, id| store.list_snapshots(id)),
        ),
        (
            "restore_snapshot",
            bad!(Id "snapshot_id", |store, id| store.restore_snapshot(id)),
        ),
        (
            "save_event",
            bad!(Id "session_id", |store, id| store.save_event(&bad_event(id))),
        ),
        (
            "save_event",
            bad!(Id "event_type", |store, id| store.save_event(&Event { event_type: id.to_owned(), ..event("x") })),
        ),
        (
            "save_event",
            bad!(Id "actor_id", |store, id| store.save_event(&Event { actor_id: id.to_owned(), ..event("x") })),
        ),
        (
            "save_event",
            bad!(Id "git_commit", |store, id| store.save_event(&Event { git_commit: Some(id.to_owned()), ..event("x") })),
        ),
        (
            "get_events",
            bad!(Id "session_id", |store, id| store.get_events(id)),
        ),
        (
            "get_events_by_type",
            bad!(Id "event_type", |store, id| store.get_events_by_type(id)),
        ),
        (
            "save_task",
            bad!(Id "assigned_to", |store, id| store.save_task(&Task { assigned_to: Some(id.to_owned()), ..task("x") })),
        ),
    ]
}
