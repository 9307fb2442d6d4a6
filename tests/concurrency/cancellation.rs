//! A call whose future is dropped: the write is there whole or not at all, and the store is as good as before.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use descartes_state::diesel::SqliteConnection;
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentFilter, AppendOptions, ChangeIf, EventFilter, ManualClock, PageRequest, Revision, SaveIf,
    Session, SessionFilter, SessionStatus, SnapshotFilter, SnapshotOptions, SqliteStateStore,
    StateStoreError, Step, StoreOptions, TaskFilter, TaskStatus, TransitionDraft, TransitionFilter,
};
use descartes_state_testing::{
    HeldWriter, agent, assert_index_is_whole, connect, lines, numbered_event, numbered_task, open,
    poll_once, polled_at_most, quick, soon, until_indexed,
};

type Done = Result<(), StateStoreError>;
type Call = Pin<Box<dyn Future<Output = Done> + Send>>;
type Method = (&'static str, fn(SqliteStateStore) -> Call);

macro_rules! methods {
    ($($name:literal => |$store:ident| $call:expr),* $(,)?) => {
        vec![$(($name, (|$store: SqliteStateStore| -> Call {
            Box::pin(async move { $call.await.map(drop) })
        }) as fn(SqliteStateStore) -> Call)),*]
    };
}

const ANY: ChangeIf = ChangeIf::Any;

/// Every method that writes; each of them changes what [`prepare`] wrote.
fn writes() -> Vec<Method> {
    methods![
        "save_agent_state" => |store| store.save_agent_state(&agent("new")),
        "update_agent_status" => |store| store.update_agent_status("agent", "busy"),
        "delete_agent" => |store| store.delete_agent("agent"),
        "record_state_transition" => |store| store.record_state_transition("agent", "{}", "{1}", None),
        "create_snapshot" => |store| store.create_snapshot("agent", None),
        "restore_snapshot" => |store| async move { store.restore_snapshot(&snapshot_of(&store).await).await },
        "save_event" => |store| store.save_event(&numbered_event(100, "new word")),
        "save_task" => |store| store.save_task(&numbered_task(100)),
        "agents.save" => |store| store.agents().save(&agent("agent")),
        "agents.save_if" => |store| store.agents().save_if(&agent("agent"), SaveIf::Revision(Revision::from(1))),
        "agents.step" => |store| async move {
            let (state, event) = (agent("agent"), numbered_event(100, "new word"));
            let step = Step::to(&state).reason("new").event(&event).session("session");
            store.agents().step(&step).await
        },
        "batch.commit" => |store| async move {
            let mut batch = store.batch();
            batch.agents().delete("agent", ANY)?;
            batch.tasks().purge(&numbered_task(1).id, ANY)?;
            batch.events().append(&numbered_event(100, "new word"))?;
            batch.sessions().end("session", SessionStatus::Failed, ANY)?;
            batch.commit().await
        },
        "agents.set_status" => |store| store.agents().set_status("agent", "busy", ANY),
        "agents.update" => |store| store.agents().update("agent", ANY, |state| {
            state.status = "updated".into();
            Ok(())
        }),
        "agents.delete" => |store| store.agents().delete("agent", ANY),
        "agents.undelete" => |store| store.agents().undelete("deleted", ANY),
        "agents.purge" => |store| store.agents().purge("agent", ANY),
        "transitions.record" => |store| store.transitions().record(&TransitionDraft::new("agent", "{}", "{}")),
        "transitions.purge_before" => |store| store.transitions().purge_before(i64::MAX),
        "snapshots.create" => |store| store.snapshots().create("agent", &SnapshotOptions::default()),
        "snapshots.restore" => |store| async move { store.snapshots().restore(&snapshot_of(&store).await, ANY).await },
        "snapshots.update" => |store| async move {
            let options = SnapshotOptions::default().description("other");
            store.snapshots().update(&snapshot_of(&store).await, &options, ANY).await
        },
        "snapshots.purge" => |store| async move { store.snapshots().purge(&snapshot_of(&store).await, ANY).await },
        "snapshots.purge_expired" => |store| store.snapshots().purge_expired(),
        "events.append" => |store| store.events().append(&numbered_event(100, "new word")),
        "events.append_with" => |store| store
            .events()
            .append_with(&numbered_event(100, "new word"), AppendOptions::default()),
        "events.append_all" => |store| async move {
            let events: Vec<_> = (100..150).map(|number| numbered_event(number, "new word")).collect();
            store.events().append_all(&events).await
        },
        "events.append_all_with" => |store| async move {
            let events: Vec<_> = (100..150).map(|number| numbered_event(number, "new word")).collect();
            let events: Vec<_> = events.iter().map(|event| (event, AppendOptions::default())).collect();
            store.events().append_all_with(&events).await
        },
        "events.purge_before" => |store| store.events().purge_before(i64::MAX),
        "tasks.save" => |store| store.tasks().save(&numbered_task(1)),
        "tasks.save_if" => |store| store.tasks().save_if(&numbered_task(1), SaveIf::Revision(Revision::from(1))),
        "tasks.set_status" => |store| store.tasks().set_status(&numbered_task(1).id, TaskStatus::Done, ANY),
        "tasks.delete" => |store| store.tasks().delete(&numbered_task(1).id, ANY),
        "tasks.undelete" => |store| store.tasks().undelete(&numbered_task(2).id, ANY),
        "tasks.purge" => |store| store.tasks().purge(&numbered_task(1).id, ANY),
        "sessions.start" => |store| store.sessions().start(&Session::new("new", "agent")),
        "sessions.save_if" => |store| store.sessions().save_if(&Session::new("session", "other"), SaveIf::Any),
        "sessions.touch" => |store| store.sessions().touch("session", ANY),
        "sessions.end" => |store| store.sessions().end("session", SessionStatus::Failed, ANY),
        "sessions.delete" => |store| store.sessions().delete("session", ANY),
        "sessions.undelete" => |store| store.sessions().undelete("deleted", ANY),
        "sessions.purge" => |store| store.sessions().purge("session", ANY),
        "transact" => |store| store.transact(|tx| {
            tx.agents().set_status("agent", "busy", ANY)?;
            tx.transitions().record(&TransitionDraft::new("agent", "{}", "{}"))?;
            tx.events().append(&numbered_event(100, "new word"))?;
            tx.tasks().purge(&numbered_task(1).id, ANY)
        }),
        "try_transact" => |store| store.try_transact(|tx| -> Done {
            tx.agents().purge("agent", ANY)?;
            tx.sessions().end("session", SessionStatus::Failed, ANY)?;
            tx.events().append(&numbered_event(100, "new word"))?;
            tx.tasks().save(&numbered_task(100)).map(drop)
        }),
    ]
}

/// Every method that only reads.
fn reads() -> Vec<Method> {
    methods![
        "initialize" => |store| store.initialize(),
        "get_migration_history" => |store| store.get_migration_history(),
        "load_agent_state" => |store| store.load_agent_state("agent"),
        "list_agents" => |store| store.list_agents(),
        "get_state_history" => |store| store.get_state_history("agent", 5),
        "list_snapshots" => |store| store.list_snapshots("agent"),
        "get_events" => |store| store.get_events("session"),
        "get_events_by_type" => |store| store.get_events_by_type("note"),
        "search_events" => |store| store.search_events("word"),
        "get_task" => |store| store.get_task(&numbered_task(1).id),
        "get_tasks" => |store| store.get_tasks(),
        "agents.get" => |store| store.agents().get("agent"),
        "agents.state" => |store| store.agents().state("agent"),
        "agents.states" => |store| store.agents().states(&AgentFilter::default(), &PageRequest::default()),
        "agents.list" => |store| store.agents().list(&AgentFilter::default(), &PageRequest::default()),
        "agents.count" => |store| store.agents().count(&AgentFilter::default()),
        "transitions.get" => |store| store.transitions().get(&numbered_event(1, "").id),
        "transitions.list" => |store| store.transitions().list(&TransitionFilter::default(), &PageRequest::default()),
        "transitions.count" => |store| store.transitions().count(&TransitionFilter::default()),
        "snapshots.get" => |store| store.snapshots().get("none"),
        "snapshots.list" => |store| store.snapshots().list(&SnapshotFilter::default(), &PageRequest::default()),
        "snapshots.count" => |store| store.snapshots().count(&SnapshotFilter::default()),
        "events.get" => |store| store.events().get(&numbered_event(1, "").id),
        "events.ids_between" => |store| store.events().ids_between(&Uuid::nil(), &Uuid::max(), 10),
        "events.list" => |store| store.events().list(&EventFilter::default(), &PageRequest::default()),
        "events.count" => |store| store.events().count(&EventFilter::default()),
        "events.search_beginnings" => |store| store.events().search_beginnings("wo", &EventFilter::default(), &PageRequest::default()),
        "events.check_search" => |store| store.events().check_search(),
        "events.rebuild_search" => |store| store.events().rebuild_search(),
        "events.search" => |store| store.events().search("word", &EventFilter::default(), &PageRequest::default()),
        "tasks.get" => |store| store.tasks().get(&numbered_task(1).id),
        "tasks.list" => |store| store.tasks().list(&TaskFilter::default(), &PageRequest::default()),
        "tasks.count" => |store| store.tasks().count(&TaskFilter::default()),
        "sessions.get" => |store| store.sessions().get("session"),
        "sessions.list" => |store| store.sessions().list(&SessionFilter::default(), &PageRequest::default()),
        "sessions.count" => |store| store.sessions().count(&SessionFilter::default()),
        "migrations.applied" => |store| store.migrations().applied(),
        "migrations.pending" => |store| store.migrations().pending(),
        "migrations.preview_revert" => |store| store.migrations().preview_revert(),
        "read" => |store| store.read(|tx| tx.agents().count(&AgentFilter::default())),
    ]
}

async fn snapshot_of(store: &SqliteStateStore) -> String {
    let snapshots = store.list_snapshots("agent").await.unwrap();
    // A write that was dropped and still happened may have removed it: then the next call is for one that isn't there.
    snapshots
        .first()
        .map(|(id, ..)| id.clone())
        .unwrap_or_default()
}

/// One row of each kind under the handle's prefix, for the methods to change.
async fn prepare(store: &SqliteStateStore) {
    soon(store.transact(|tx| {
        tx.agents().save(&agent("agent"))?;
        tx.agents().save(&agent("deleted"))?;
        tx.agents().delete("deleted", ANY)?;
        tx.transitions()
            .record(&TransitionDraft::new("agent", "{}", "{0}"))?;
        tx.snapshots()
            .create("agent", &SnapshotOptions::default())?;
        tx.snapshots()
            .create("agent", &SnapshotOptions::default().expires_at(1))?;
        for number in 1..4 {
            tx.events().append(&numbered_event(number, "old word"))?;
        }
        tx.tasks().save(&numbered_task(1))?;
        tx.tasks().save(&numbered_task(2))?;
        tx.tasks().delete(&numbered_task(2).id, ANY)?;
        tx.sessions().start(&Session::new("session", "agent"))?;
        tx.sessions().start(&Session::new("deleted", "agent"))?;
        tx.sessions().delete("deleted", ANY)?;
        Ok(())
    }))
    .await
    .unwrap();
}

/// All that is stored under a prefix, but for the ids and numbers that each run makes afresh.
fn contents(connection: &mut SqliteConnection, prefix: &str) -> Vec<String> {
    const TABLES: &[(&str, &str)] = &[
        (
            "agent_states",
            "agent_id, name, status, state_data, is_deleted, revision, updated_at, recorded_at",
        ),
        ("state_transitions", "agent_id, state_before, state_after"),
        (
            "state_snapshots",
            "agent_id, status, coalesce(description, '-'), coalesce(expires_at, 0), revision",
        ),
        ("events", "id, content"),
        (
            "tasks",
            "id, status, is_deleted, revision, updated_at, recorded_at",
        ),
        (
            "sessions",
            "id, agent_id, status, is_deleted, revision, updated_at, recorded_at",
        ),
        ("revision_floors", "aggregate, revision"),
    ];
    let each = |(table, columns): &(&str, &str)| {
        let query = format!(
            "SELECT concat_ws('|', '{table}', {columns}) AS line FROM {table} WHERE namespace = '{prefix}' ORDER BY 1"
        );
        lines(connection, &query)
    };
    TABLES.iter().flat_map(each).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lane {
    Idle,
    Busy,
}

/// The most polls that a call may need; a guard against a loop that never ends.
const POLLS: usize = 40;

/// Drops each call after 0, 1, 2 … polls until it completes, and looks at what it left.
async fn cancel_all(options: StoreOptions, lane: Lane) {
    // A clock that stands still: what a call writes is the same in each run.
    let options = options.clock(ManualClock::at_seconds(1_763_856_000));
    let (_directory, store) = open(options).await;
    let mut other = connect(store.path());
    for (name, method) in writes() {
        let whole = store.with_prefix(format!("{name} whole"));
        prepare(&whole).await;
        let before = contents(&mut other, whole.prefix());
        soon(method(whole.clone())).await.unwrap();
        let after = contents(&mut other, whole.prefix());
        assert_ne!(before, after, "{name} changes nothing");

        for polls in 0..=POLLS {
            assert!(polls < POLLS, "{name} doesn't come to its end");
            let dropped = store.with_prefix(format!("{name} {polls}"));
            prepare(&dropped).await;
            assert_eq!(contents(&mut other, dropped.prefix()), before, "{name}");
            let is_complete = cancel(&dropped, method, polls, lane).await;
            assert_usable(&dropped, name).await;
            let left = contents(&mut other, dropped.prefix());
            assert!(
                left == before || left == after,
                "{name} after {polls} polls: {left:#?}"
            );
            assert!(
                left == after || !is_complete,
                "{name}: acknowledged, and lost"
            );
            assert!(
                left == before || polls > 0,
                "{name} was never polled, and wrote"
            );
            if is_complete {
                break;
            }
        }
    }
    for (name, method) in reads() {
        for polls in 0..=POLLS {
            assert!(polls < POLLS, "{name} doesn't come to its end");
            let is_complete = cancel(&store, method, polls, lane).await;
            assert_usable(&store, name).await;
            if is_complete {
                break;
            }
        }
    }
    // What was dropped left no half of an event in the search either.
    until_indexed(&store).await;
    store.close().await.unwrap();
    assert_index_is_whole(&mut other);
}

/// Polls a call so often and drops it; true if it was complete by then.
async fn cancel(
    store: &SqliteStateStore,
    method: fn(SqliteStateStore) -> Call,
    polls: usize,
    lane: Lane,
) -> bool {
    if lane == Lane::Idle {
        let output = soon(polled_at_most(polls, method(store.clone()))).await;
        return output.map(Result::unwrap).is_some();
    }
    let held = HeldWriter::new(&store.with_prefix("holder")).await;
    let mut call = method(store.clone());
    let is_complete = polls > 0 && poll_once(call.as_mut()).is_ready();
    if polls < 2 || is_complete {
        drop(call);
        held.release().await;
        return is_complete;
    }
    held.release().await;
    let output = soon(polled_at_most(polls - 1, call)).await;
    output.map(Result::unwrap).is_some()
}

/// Whether lane and readers do their work, with nothing left open on their connections.
async fn assert_usable(store: &SqliteStateStore, name: &str) {
    let other = store.with_prefix("after");
    // Behind whatever is still at work in the lane.
    soon(other.transact(|tx| tx.agents().save(&agent("by closure"))))
        .await
        .expect(name);
    soon(other.save_agent_state(&agent("by itself")))
        .await
        .expect(name);
    let (one, two) = tokio::join!(
        soon(other.load_agent_state("by itself")),
        soon(other.list_agents())
    );
    assert!(one.expect(name).is_some());
    assert_eq!(two.expect(name).len(), 2, "{name}");
}

#[tokio::test]
async fn a_dropped_call_of_an_idle_lane_is_whole_or_nothing() {
    cancel_all(quick().readers(2), Lane::Idle).await;
}

#[tokio::test]
async fn a_dropped_call_that_waits_for_the_lane_is_whole_or_nothing() {
    cancel_all(quick().readers(2), Lane::Busy).await;
}

#[tokio::test]
async fn a_dropped_call_that_runs_on_another_thread_is_whole_or_nothing() {
    cancel_all(quick().readers(2).inline_budget(Duration::ZERO), Lane::Idle).await;
}

#[tokio::test]
async fn a_write_that_is_dropped_while_it_waits_never_starts() {
    let (_directory, store) = open(quick()).await;
    let withdrawn = store.with_prefix("withdrawn");
    // Those that have to read first find what they are for, however soon the read is done: then they wait for the lane too.
    prepare(&withdrawn).await;
    let before = contents(&mut connect(store.path()), "withdrawn");
    let held = HeldWriter::new(&store).await;
    for (name, method) in writes() {
        let mut call = method(withdrawn.clone());
        assert!(poll_once(call.as_mut()).is_pending(), "{name}");
    }
    held.release().await;
    soon(store.transact(|_| Ok(()))).await.unwrap();
    assert_eq!(contents(&mut connect(store.path()), "withdrawn"), before);
}

#[tokio::test]
async fn a_store_can_be_opened_after_an_opening_that_was_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    for polls in 0..POLLS {
        let opening = async {
            let store = SqliteStateStore::open(&path, quick()).await?;
            store.initialize().await?;
            store.close().await
        };
        if soon(polled_at_most(polls, opening)).await.is_some() {
            break;
        }
    }
    let store = descartes_state_testing::open_in(&directory, quick()).await;
    assert_usable(&store, "opened").await;
    soon(store.close()).await.unwrap();
    assert!(!directory.path().join("state.db-wal").exists());
}
