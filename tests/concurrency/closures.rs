//! Closures of the caller: alone in their transaction, off the runtime's threads, and harmless whatever they do.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use descartes_state::diesel;
use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::prelude::*;
use descartes_state::schema::{agent_states, events};
use descartes_state::{
    AgentFilter, ChangeIf, DatabaseFailure, EventFilter, PageRequest, Revision, SaveIf, Session,
    SessionFilter, SessionStatus, SnapshotFilter, SnapshotOptions, SqliteStateStore,
    StateStoreError, TaskFilter, TaskStatus, Transaction, TransitionDraft, TransitionFilter,
};
use descartes_state_testing::{
    agent, block_on, connect, connect_patiently, count, numbered_event, numbered_task, open, quick,
    soon,
};

type Failure = StateStoreError;
type Done = Result<(), Failure>;

/// Whether the store works as if nothing had happened, on the lane and on a reader.
pub(super) async fn assert_usable(store: &SqliteStateStore, label: &str) {
    let id = format!("after {label}");
    let saved = soon(store.transact(move |tx| tx.agents().save(&agent(&id)))).await;
    assert_eq!(saved.unwrap(), Revision::from(1), "{label}");
    soon(store.save_agent_state(&agent(&format!("also after {label}"))))
        .await
        .unwrap();
    let listed = soon(store.read(|tx| tx.agents().count(&AgentFilter::default())))
        .await
        .unwrap();
    assert_eq!(
        listed,
        i64::try_from(store.list_agents().await.unwrap().len()).unwrap(),
        "{label}"
    );
}

#[tokio::test]
async fn what_a_closure_wrote_is_committed_whole_or_rolled_back() {
    let (_directory, store) = open(quick()).await;
    let write_both = |tx: &mut Transaction<'_>| -> Done {
        tx.agents().save(&agent("one"))?;
        tx.transitions()
            .record(&TransitionDraft::new("one", "{}", "{}"))?;
        tx.events().append(&numbered_event(1, "hello"))?;
        Ok(())
    };
    let failed = store.transact(move |tx| -> Done {
        write_both(tx)?;
        Err(StateStoreError::application("on second thoughts"))
    });
    assert!(matches!(soon(failed).await, Err(Failure::Application(_))));
    let panicked = store.transact(move |tx| -> Done {
        write_both(tx)?;
        panic!("boom {}", 1 + 1)
    });
    assert!(
        matches!(soon(panicked).await, Err(Failure::Panicked { message }) if message == "boom 2")
    );
    let mut other = connect(store.path());
    for table in ["agent_states", "state_transitions", "events"] {
        assert_eq!(count(&mut other, table), 0, "{table}");
    }
    soon(store.transact(write_both)).await.unwrap();
    for table in ["agent_states", "state_transitions", "events"] {
        assert_eq!(count(&mut other, table), 1, "{table}");
    }
    assert_usable(&store, "all of them").await;
}

#[tokio::test]
async fn a_read_closure_writes_nothing() {
    let (_directory, store) = open(quick()).await;
    let delete = "DELETE FROM agent_states";
    let refused = soon(store.read(move |tx| Ok(tx.sqlite()?.batch_execute(delete)?))).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(&error, Failure::DatabaseError(error) if error.kind() == DatabaseFailure::ReadOnly),
        "{error}"
    );
    // Not even one that takes the bolt off.
    let undone = soon(store.read(|tx| {
        let connection = tx.sqlite()?;
        connection.batch_execute("PRAGMA query_only = OFF")?;
        Ok(connection.batch_execute("CREATE TABLE written (x)")?)
    }))
    .await;
    assert!(undone.is_ok(), "{undone:?}");
    // The reader that lent itself is being closed, and nobody else has the file open: that takes the lock for a moment.
    assert_eq!(
        count(
            &mut connect_patiently(store.path()),
            "sqlite_schema WHERE name = 'written'"
        ),
        0
    );
    assert_usable(&store, "refused writes").await;
}

#[tokio::test]
async fn all_that_a_read_closure_reads_is_one_snapshot() {
    let (_directory, store) = open(quick()).await;
    let (other_store, runtime) = (store.clone(), tokio::runtime::Handle::current());
    let (before, after) = soon(store.read(move |tx| {
        let before = tx.agents().count(&AgentFilter::default())?;
        // From another thread: in this one it would be `Reentrant`.
        let written = thread::spawn(move || {
            runtime.block_on(async move { other_store.save_agent_state(&agent("new")).await })
        });
        written.join().unwrap()?;
        Ok((before, tx.agents().count(&AgentFilter::default())?))
    }))
    .await
    .unwrap();
    assert_eq!((before, after), (0, 0));
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
}

type Call = Pin<Box<dyn Future<Output = Done> + Send>>;
type Method = (&'static str, fn(SqliteStateStore) -> Call);

/// One method of each kind that goes its own way into the store, and of each aggregate.
fn methods() -> Vec<Method> {
    macro_rules! methods {
        ($($name:literal => |$store:ident| $call:expr),* $(,)?) => {
            vec![$(($name, (|$store: SqliteStateStore| -> Call {
                Box::pin(async move { $call.await.map(drop) })
            }) as fn(SqliteStateStore) -> Call)),*]
        };
    }
    methods![
        "initialize" => |store| store.initialize(),
        "get_migration_history" => |store| store.get_migration_history(),
        "save_agent_state" => |store| store.save_agent_state(&agent("inside")),
        "load_agent_state" => |store| store.load_agent_state("inside"),
        "list_agents" => |store| store.list_agents(),
        "agents.count" => |store| store.agents().count(&AgentFilter::default()),
        "batch.commit" => |store| async move {
            let mut batch = store.batch();
            batch.agents().save(&agent("inside"))?;
            batch.commit().await
        },
        "agents.purge" => |store| store.agents().purge("inside", ChangeIf::Any),
        "transitions.record" => |store| store.transitions().record(&TransitionDraft::new("inside", "{}", "{}")),
        "transitions.list" => |store| store.transitions().list(&TransitionFilter::default(), &PageRequest::default()),
        "snapshots.create" => |store| store.snapshots().create("inside", &SnapshotOptions::default()),
        "snapshots.list" => |store| store.snapshots().list(&SnapshotFilter::default(), &PageRequest::default()),
        "events.append_all" => |store| store.events().append_all(&[numbered_event(9, "inside")]),
        "events.search_beginnings" => |store| store.events().search_beginnings("in", &EventFilter::default(), &PageRequest::default()),
        "events.check_search" => |store| store.events().check_search(),
        "events.rebuild_search" => |store| store.events().rebuild_search(),
        "events.search" => |store| store.events().search("inside", &EventFilter::default(), &PageRequest::default()),
        "tasks.set_status" => |store| store.tasks().set_status(&numbered_task(9).id, TaskStatus::Done, ChangeIf::Any),
        "tasks.list" => |store| store.tasks().list(&TaskFilter::default(), &PageRequest::default()),
        "sessions.start" => |store| store.sessions().start(&Session::new("inside", "inside")),
        "sessions.end" => |store| store.sessions().end("inside", SessionStatus::Completed, ChangeIf::Any),
        "sessions.list" => |store| store.sessions().list(&SessionFilter::default(), &PageRequest::default()),
        "migrations.pending" => |store| store.migrations().pending(),
        "migrations.preview_revert" => |store| store.migrations().preview_revert(),
        "transact" => |store| store.transact(|_| Ok(())),
        "try_transact" => |store| store.try_transact(|_| -> Done { Ok(()) }),
        "read" => |store| store.read(|_| Ok(())),
        "close" => |store| store.close(),
    ]
}

#[tokio::test]
async fn calling_the_store_from_inside_its_own_closure_is_reentrant_not_a_deadlock() {
    let (directory, store) = open(quick()).await;
    // Every handle on the same file counts: a clone, one with a prefix, and one that was opened again.
    let again = descartes_state_testing::open_in(&directory, quick()).await;
    for handle in [store.clone(), store.with_prefix("other"), again] {
        for (name, method) in methods() {
            let (one, two) = (handle.clone(), handle.clone());
            soon(store.transact(move |_| {
                let on_tokio = tokio::runtime::Handle::current().block_on(method(one));
                assert!(
                    matches!(on_tokio, Err(Failure::Reentrant { .. })),
                    "{name}: {on_tokio:?}"
                );
                Ok(())
            }))
            .await
            .unwrap();
            soon(store.read(move |_| {
                let elsewhere = block_on(method(two));
                assert!(
                    matches!(elsewhere, Err(Failure::Reentrant { .. })),
                    "{name}: {elsewhere:?}"
                );
                Ok(())
            }))
            .await
            .unwrap();
        }
    }
    assert!(store.list_agents().await.unwrap().is_empty());
    // Another file is another matter.
    let (_elsewhere, other) = open(quick()).await;
    let inner = other.clone();
    soon(
        store.transact(move |_| block_on(async { inner.save_agent_state(&agent("there")).await })),
    )
    .await
    .unwrap();
    assert_eq!(other.list_agents().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_nested_diesel_transaction_is_a_savepoint() {
    let (_directory, store) = open(quick()).await;
    soon(store.transact(|tx| -> Done {
        tx.agents().save(&agent("outer"))?;
        #[allow(clippy::disallowed_methods)]
        // The application's own: inside the store's it is a savepoint.
        let inner = tx.sqlite()?.transaction(|connection| -> QueryResult<()> {
            diesel::update(agent_states::table)
                .set(agent_states::status.eq("lost"))
                .execute(connection)?;
            Err(diesel::result::Error::RollbackTransaction)
        });
        assert!(inner.is_err());
        #[allow(clippy::disallowed_methods)]
        tx.sqlite()?.transaction(|connection| -> QueryResult<()> {
            diesel::update(agent_states::table)
                .set(agent_states::name.eq("kept"))
                .execute(connection)?;
            Ok(())
        })?;
        Ok(())
    }))
    .await
    .unwrap();
    let outer = store.load_agent_state("outer").await.unwrap().unwrap();
    assert_eq!(
        (outer.status.as_str(), outer.name.as_str()),
        ("idle", "kept")
    );
}

#[derive(Debug)]
enum Own {
    Mine(Arc<str>),
    Store(Failure),
}

impl From<Failure> for Own {
    fn from(error: Failure) -> Self {
        Self::Store(error)
    }
}

#[tokio::test]
async fn try_transact_keeps_the_callers_own_error_type() {
    let (_directory, store) = open(quick()).await;
    let mine = soon(store.try_transact(|tx| -> Result<(), Own> {
        tx.agents().save(&agent("mine"))?;
        Err(Own::Mine("too late".into()))
    }))
    .await;
    assert!(matches!(mine, Err(Own::Mine(text)) if &*text == "too late"));
    let stores = soon(store.try_transact(|tx| -> Result<Revision, Own> {
        Ok(tx
            .agents()
            .save_if(&agent("mine"), SaveIf::Revision(Revision::from(3)))?)
    }))
    .await;
    assert!(
        matches!(stores, Err(Own::Store(Failure::NotFound { .. }))),
        "{stores:?}"
    );
    let escaped = soon(store.try_transact(|tx| -> Result<(), Own> {
        tx.sqlite()?
            .batch_execute("COMMIT")
            .map_err(Failure::from)?;
        Err(Own::Mine("not the whole truth".into()))
    }))
    .await;
    assert!(
        matches!(escaped, Err(Own::Store(Failure::TransactionEscaped))),
        "{escaped:?}"
    );
    let panicked = soon(store.try_transact(|_| -> Result<(), Own> { panic!("boom") })).await;
    assert!(matches!(
        panicked,
        Err(Own::Store(Failure::Panicked { .. }))
    ));
    let value = soon(
        store.try_transact(|tx| -> Result<Revision, Own> { Ok(tx.agents().save(&agent("mine"))?) }),
    )
    .await;
    assert!(matches!(value, Ok(revision) if revision.get() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closures_run_off_the_runtimes_threads_in_an_immediate_transaction() {
    let (_directory, store) = open(quick()).await;
    let (mut polled, mut ran) = (HashSet::new(), HashSet::new());
    for _ in 0..20 {
        let store = store.clone();
        let (poller, closures) = tokio::spawn(async move {
            let poller = thread::current().id();
            store.save_agent_state(&agent("warm")).await.unwrap();
            let path = store.path().to_owned();
            let wrote = soon(store.transact(move |_| {
                // Nothing was written yet, and still nobody else can write.
                let locked = connect(&path).batch_execute("BEGIN IMMEDIATE");
                assert!(locked.is_err());
                Ok(thread::current().id())
            }));
            let wrote = wrote.await.unwrap();
            let read = soon(store.read(|_| Ok(thread::current().id())));
            (poller, [wrote, read.await.unwrap()])
        })
        .await
        .unwrap();
        polled.insert(poller);
        ran.extend(closures);
    }
    assert!(polled.is_disjoint(&ran), "{polled:?} {ran:?}");
}

#[tokio::test]
async fn events_that_a_closure_appends_by_diesel_are_found() {
    let (_directory, store) = open(quick()).await;
    soon(store.transact(|tx| {
        tx.events()
            .append(&numbered_event(1, "through the repository"))?;
        assert_eq!(
            tx.events()
                .search(
                    "repository",
                    &EventFilter::default(),
                    &PageRequest::default()
                )?
                .items
                .len(),
            1
        );
        diesel::insert_into(events::table)
            .values((
                events::namespace.eq(""),
                events::id.eq("00000000-0000-0000-0000-0000000000ff"),
                events::event_type.eq("note"),
                events::timestamp.eq(1),
                events::session_id.eq("session"),
                events::actor_type.eq("agent"),
                events::actor_id.eq("actor"),
                events::content.eq("behind its back"),
                events::created_at.eq(1),
                events::recorded_at.eq(1),
            ))
            .execute(tx.sqlite()?)?;
        Ok(())
    }))
    .await
    .unwrap();
    for text in ["repository", "behind back"] {
        assert_eq!(store.search_events(text).await.unwrap().len(), 1, "{text}");
    }
    let undone = soon(store.transact(|tx| -> Done {
        tx.events().append(&numbered_event(2, "never was"))?;
        Err(StateStoreError::application("no"))
    }));
    assert!(undone.await.is_err());
    assert!(store.search_events("never").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_closure_finds_what_it_wrote_through_the_connection() {
    let (_directory, store) = open(quick()).await;
    let found = store
        .transact(|tx| {
            tx.sqlite()?.batch_execute(
                "INSERT INTO events (id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, \
                 recorded_at) VALUES ('00000000-0000-0000-0000-000000000001', 't', 1, 's', 'agent', 'a', 'zebra', 1, 1);",
            )?;
            let found = tx.events().search("zebra", &EventFilter::default(), &PageRequest::default())?;
            Ok(found.items.len())
        })
        .await
        .unwrap();
    assert_eq!(found, 1);
}
