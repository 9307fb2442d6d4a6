//! What a closure did with the connection itself: its rows are found, its settings don't stay.

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::diesel::dsl::sql;
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::Text;
use descartes_state::diesel::{insert_into, select};
use descartes_state::schema::events;
use descartes_state::{ReadTransaction, SqliteStateStore, StateStoreError, Transaction};
use descartes_state_testing::{
    agent, assert_index_is_whole, assert_intact, connect, numbered_event, open, quick, soon,
    until_indexed,
};

type Done = Result<(), StateStoreError>;

/// Settings that change what a later write means, or how long it waits.
const CHANGES: &[&str] = &[
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA busy_timeout = 1",
    "PRAGMA writable_schema = ON",
    "PRAGMA max_page_count = 100000",
    "CREATE TEMP TABLE agent_states (key TEXT)",
    "ATTACH ':memory:' AS mine",
];

/// The settings that those change, of the connection at hand.
fn settings(tx: &mut ReadTransaction<'_>) -> Result<String, StateStoreError> {
    const EACH: &str = "(SELECT ignore_check_constraints FROM pragma_ignore_check_constraints)
        || ' ' || (SELECT recursive_triggers FROM pragma_recursive_triggers)
        || ' ' || (SELECT timeout FROM pragma_busy_timeout)
        || ' ' || (SELECT writable_schema FROM pragma_writable_schema)
        || ' ' || (SELECT max_page_count FROM pragma_max_page_count)
        || ' ' || (SELECT count(*) FROM temp.sqlite_schema)
        || ' ' || (SELECT count(*) FROM pragma_database_list WHERE name <> 'temp')";
    Ok(select(sql::<Text>(EACH)).get_result(tx.sqlite()?)?)
}

/// A closure that only uses repositories: its connection isn't looked at afterwards.
async fn only_repositories(store: &SqliteStateStore, id: String) {
    soon(store.transact(move |tx| tx.agents().save(&agent(&id))))
        .await
        .unwrap();
    soon(store.read(|tx| tx.agents().get("agent").map(drop)))
        .await
        .unwrap();
}

/// How a closure ends that changed a setting.
#[derive(Debug, Clone, Copy)]
enum End {
    Well,
    WithError,
    WithPanic,
}

fn change(tx: &mut ReadTransaction<'_>, change: &str, end: End) -> Done {
    tx.sqlite()?.batch_execute(change)?;
    match end {
        End::Well => Ok(()),
        End::WithError => Err(StateStoreError::application("on second thoughts")),
        End::WithPanic => panic!("after a change"),
    }
}

#[tokio::test]
async fn what_a_closure_changes_stays_for_nobody_however_it_ends() {
    let (_directory, store) = open(quick().readers(1)).await;
    let lane = soon(store.transact(|tx| settings(tx))).await.unwrap();
    let reader = soon(store.read(settings)).await.unwrap();
    for set in CHANGES {
        for end in [End::Well, End::WithError, End::WithPanic] {
            only_repositories(&store, format!("before {set}")).await;
            let ended = soon(store.transact(move |tx| change(tx, set, end))).await;
            assert_eq!(ended.is_ok(), matches!(end, End::Well), "{set}: {ended:?}");
            only_repositories(&store, format!("after {set}")).await;
            let left = soon(store.transact(|tx| settings(tx))).await.unwrap();
            assert_eq!(left, lane, "{set}, {end:?}");

            // What creates is refused there: that is an end too.
            let ended = soon(store.read(move |tx| change(tx, set, end))).await;
            assert!(
                ended.is_err() || matches!(end, End::Well),
                "{set}: {ended:?}"
            );
            only_repositories(&store, format!("after a read with {set}")).await;
            let left = soon(store.read(settings)).await.unwrap();
            assert_eq!(left, reader, "a read with {set}, {end:?}");
        }
    }
    assert_intact(&mut connect(store.path()));
}

/// An event that no repository knows of.
fn behind_its_back(tx: &mut Transaction<'_>, id: &str, content: &str) -> Done {
    insert_into(events::table)
        .values((
            events::namespace.eq(""),
            events::id.eq(id),
            events::event_type.eq("note"),
            events::timestamp.eq(1),
            events::session_id.eq("session"),
            events::actor_type.eq("agent"),
            events::actor_id.eq("actor"),
            events::content.eq(content),
            events::created_at.eq(1),
            events::recorded_at.eq(1),
        ))
        .execute(tx.sqlite()?)?;
    Ok(())
}

#[tokio::test]
async fn events_that_only_diesel_appended_are_found() {
    let (_directory, store) = open(quick()).await;
    let ids = [
        "00000000-0000-0000-0000-0000000000f1",
        "00000000-0000-0000-0000-0000000000f2",
        "00000000-0000-0000-0000-0000000000f3",
    ];
    let only = soon(store.transact(move |tx| behind_its_back(tx, ids[0], "hidden words")));
    only.await.unwrap();
    assert_eq!(store.search_events("hidden").await.unwrap().len(), 1);
    // Through the closure that keeps the caller's own error type, too.
    let only = soon(store.try_transact(move |tx| -> Done {
        tx.agents().save(&agent("beside"))?;
        behind_its_back(tx, ids[1], "hidden words")
    }));
    only.await.unwrap();
    assert_eq!(store.search_events("hidden").await.unwrap().len(), 2);
    // One that fails leaves nothing to find, and nothing in the index.
    let failed = soon(store.transact(move |tx| -> Done {
        behind_its_back(tx, ids[2], "hidden words")?;
        panic!("after an event")
    }));
    assert!(matches!(
        failed.await,
        Err(StateStoreError::Panicked { .. })
    ));
    store
        .save_event(&numbered_event(9, "hidden too"))
        .await
        .unwrap();
    assert_eq!(store.search_events("hidden").await.unwrap().len(), 3);
    until_indexed(&store).await;
    assert_index_is_whole(&mut connect(store.path()));
    assert_eq!(store.search_events("hidden").await.unwrap().len(), 3);
}
