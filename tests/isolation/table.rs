//! Every public async method, with what its isolation test has to look at.

use std::future::Future;
use std::pin::Pin;

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentState, AnyStateStore, ChangeIf, Event, PageRequest, Session, StateStoreError, Task,
    TaskFilter, TransitionDraft,
};

use crate::handles;
use descartes_state_testing::{agent, event, task};

/// What a namespace was filled with: its rows have the ids of every other's, and its mark in their texts.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) mark: String,
    pub(crate) rows: i64,
    pub(crate) snapshot: String,
}

impl Own {
    pub(crate) fn agent(&self, id: &str) -> AgentState {
        let metadata = json!({ "mark": self.mark });
        AgentState {
            name: self.mark.clone(),
            metadata,
            ..agent(id)
        }
    }

    pub(crate) fn event(&self, id: u128) -> Event {
        let id = Uuid::from_u128(id);
        Event {
            id,
            ..event(&format!("word {}", self.mark))
        }
    }

    pub(crate) fn task(&self, id: u128) -> Task {
        Task {
            id: Uuid::from_u128(id),
            ..task(&self.mark)
        }
    }

    pub(crate) fn session(&self, id: &str) -> Session {
        Session::new(id, "agent").metadata(json!({ "mark": self.mark }))
    }

    pub(crate) fn draft(&self) -> TransitionDraft {
        TransitionDraft::new("agent", "before", &self.mark)
    }
}

pub(crate) type Call =
    for<'a> fn(
        &'a AnyStateStore,
        &'a Own,
    ) -> Pin<Box<dyn Future<Output = Result<String, StateStoreError>> + Send + 'a>>;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    /// What it returns bears its own namespace's mark, and no other's.
    Shows(Call),
    /// It returns the number of its own namespace's rows.
    Counts(Call),
    /// It changes rows of its own namespace, and of no other.
    Writes(Call),
    /// It has nothing to do with namespaces, for this reason.
    Unscoped(&'static str),
}

use Method::{Shows, Unscoped, Writes};

/// A call whose result is kept as text.
macro_rules! call {
    ($kind:ident, |$store:ident, $own:ident| { $($call:tt)+ }) => {
        $kind(|$store, $own| {
            Box::pin(async move {
                // Most calls need only the store.
                let _ = $own;
                let result = $($call)+.await;
                Ok(format!("{:?}", result?))
            })
        })
    };
    ($kind:ident, |$store:ident, $own:ident| $($call:tt)+) => {
        call!($kind, |$store, $own| { $($call)+ })
    };
}

pub(crate) use call;

/// The id of a task and of an event in every namespace.
pub(crate) const FIRST: Uuid = Uuid::from_u128(1);

pub(crate) fn page() -> PageRequest {
    PageRequest::default()
}

/// A table, because a method that is missing from it is a failing test.
pub(crate) fn table() -> Vec<(&'static str, Method)> {
    let mut table = of_the_store();
    table.extend(handles::table());
    table
}

fn of_the_store() -> Vec<(&'static str, Method)> {
    vec![
        ("new", Unscoped("it opens a store, which has no prefix yet")),
        (
            "open",
            Unscoped("it opens a store, which has no prefix yet"),
        ),
        (
            "connect",
            Unscoped("it opens a store, which has no prefix yet"),
        ),
        (
            "copy_store",
            Unscoped("it copies every prefix, or the one that is named: tests/copy/whole.rs"),
        ),
        ("temporary", Unscoped("it makes a file of its own")),
        ("temporary_with", Unscoped("it makes a file of its own")),
        (
            "close",
            Unscoped("it closes every handle of the store, whatever its prefix"),
        ),
        ("initialize", Unscoped("the schema is of all prefixes")),
        (
            "events.check_search",
            Unscoped("the index is of all prefixes"),
        ),
        (
            "events.rebuild_search",
            Unscoped("the index is of all prefixes"),
        ),
        (
            "get_migration_history",
            Unscoped("the schema is of all prefixes"),
        ),
        (
            "migrations.applied",
            Unscoped("the schema is of all prefixes"),
        ),
        (
            "migrations.pending",
            Unscoped("the schema is of all prefixes"),
        ),
        (
            "migrations.preview_revert",
            Unscoped("the schema is of all prefixes"),
        ),
        (
            "migrations.revert",
            Unscoped("the schema is of all prefixes; it says whose rows go"),
        ),
        (
            "batch.commit",
            call!(Writes, |store, own| async {
                let mut batch = store.batch();
                batch.agents().delete("agent", ChangeIf::Any)?;
                batch.tasks().save(&own.task(91))?;
                batch.commit().await
            }),
        ),
        (
            "transact",
            call!(Writes, |store, own| {
                store.transact({
                    let state = own.agent("agent");
                    move |tx| tx.agents().save(&state)
                })
            }),
        ),
        (
            "try_transact",
            call!(Writes, |store, own| {
                store.try_transact::<_, StateStoreError, _>(|tx| tx.events().purge_before(i64::MAX))
            }),
        ),
        (
            "read",
            call!(Shows, |store, own| {
                store.read(|tx| tx.tasks().list(&TaskFilter::default(), &page()))
            }),
        ),
        (
            "save_agent_state",
            call!(Writes, |store, own| store
                .save_agent_state(&own.agent("agent"))),
        ),
        (
            "load_agent_state",
            call!(Shows, |store, own| store.load_agent_state("agent")),
        ),
        (
            "list_agents",
            call!(Shows, |store, own| store.list_agents()),
        ),
        (
            "update_agent_status",
            call!(Writes, |store, own| store.update_agent_status("agent", "x")),
        ),
        (
            "delete_agent",
            call!(Writes, |store, own| store.delete_agent("agent")),
        ),
        (
            "record_state_transition",
            call!(Writes, |store, own| store
                .record_state_transition("agent", "x", "y", None)),
        ),
        (
            "get_state_history",
            call!(Shows, |store, own| store.get_state_history("agent", 99)),
        ),
        (
            "create_snapshot",
            call!(Writes, |store, own| store.create_snapshot("agent", None)),
        ),
        (
            "list_snapshots",
            call!(Shows, |store, own| store.list_snapshots("agent")),
        ),
        (
            "restore_snapshot",
            call!(Writes, |store, own| store.restore_snapshot(&own.snapshot)),
        ),
        (
            "save_event",
            call!(Writes, |store, own| store.save_event(&own.event(1_000))),
        ),
        (
            "get_events",
            call!(Shows, |store, own| store.get_events("session")),
        ),
        (
            "get_events_by_type",
            call!(Shows, |store, own| store.get_events_by_type("note")),
        ),
        (
            "search_events",
            call!(Shows, |store, own| store.search_events("word")),
        ),
        (
            "save_task",
            call!(Writes, |store, own| store.save_task(&own.task(1))),
        ),
        (
            "get_task",
            call!(Shows, |store, own| store.get_task(&FIRST)),
        ),
        ("get_tasks", call!(Shows, |store, own| store.get_tasks())),
    ]
}
