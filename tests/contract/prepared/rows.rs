//! Each write through the store, beside the same by plain Diesel in another file: the same rows, to the last column.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{
    AgentState, ChangeIf, ManualClock, PageRequest, SaveIf, SnapshotOptions, SqliteStateStore,
    StateStoreError, Transaction, TransitionDraft, TransitionFilter, page::Order,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::plain::{self, Draft};
use super::writes::{Write, write};
use descartes_state_testing::{
    TABLES, TestResult, assert_index_is_whole, assert_intact, connect, for_all, lines, open, quick,
    until_indexed,
};

const NOW: i64 = 1_763_856_000;
const ANY: ChangeIf = ChangeIf::Any;

/// Through the store; returns the id that it chose, where it chose one.
async fn by_store(
    store: &SqliteStateStore,
    write: Write,
    in_closure: bool,
) -> Result<String, StateStoreError> {
    if in_closure {
        return store.transact(move |tx| by_closure(tx, write)).await;
    }
    let none = |_| String::new();
    match write {
        Write::Agent(state) => store.agents().save(&state).await.map(none),
        Write::AgentStatus(id, status) => {
            store.agents().set_status(&id, &status, ANY).await.map(none)
        }
        Write::MarkAgent(id, true) => store.agents().delete(&id, ANY).await.map(none),
        Write::MarkAgent(id, false) => store.agents().undelete(&id, ANY).await.map(none),
        Write::Task(task) => store.tasks().save(&task).await.map(none),
        Write::TaskStatus(id, status) => store.tasks().set_status(&id, status, ANY).await.map(none),
        Write::MarkTask(id, true) => store.tasks().delete(&id, ANY).await.map(none),
        Write::MarkTask(id, false) => store.tasks().undelete(&id, ANY).await.map(none),
        Write::Session(session) => store
            .sessions()
            .save_if(&session, SaveIf::Any)
            .await
            .map(none),
        Write::Touch(id) => store.sessions().touch(&id, ANY).await.map(none),
        Write::End(id, status) => store.sessions().end(&id, status, ANY).await.map(none),
        Write::MarkSession(id, true) => store.sessions().delete(&id, ANY).await.map(none),
        Write::MarkSession(id, false) => store.sessions().undelete(&id, ANY).await.map(none),
        Write::Transition(draft) => {
            store.transitions().record(&of(draft)).await?;
            let page = PageRequest::new(1).order(Order::Descending);
            let all = TransitionFilter::default();
            let newest = store.transitions().list(&all, &page).await?;
            Ok(newest.items[0].transition.id.to_string())
        }
        Write::Event(event) => store.events().append(&event).await.map(|_| String::new()),
        Write::Snapshot(id, description, expires_at) => {
            let options = options(description, expires_at);
            store.snapshots().create(&id, &options).await
        }
    }
}

fn by_closure(tx: &mut Transaction<'_>, write: Write) -> Result<String, StateStoreError> {
    let none = |_| String::new();
    match write {
        Write::Agent(state) => tx.agents().save(&state).map(none),
        Write::AgentStatus(id, status) => tx.agents().set_status(&id, &status, ANY).map(none),
        Write::MarkAgent(id, true) => tx.agents().delete(&id, ANY).map(none),
        Write::MarkAgent(id, false) => tx.agents().undelete(&id, ANY).map(none),
        Write::Task(task) => tx.tasks().save(&task).map(none),
        Write::TaskStatus(id, status) => tx.tasks().set_status(&id, status, ANY).map(none),
        Write::MarkTask(id, true) => tx.tasks().delete(&id, ANY).map(none),
        Write::MarkTask(id, false) => tx.tasks().undelete(&id, ANY).map(none),
        Write::Session(session) => tx.sessions().save_if(&session, SaveIf::Any).map(none),
        Write::Touch(id) => tx.sessions().touch(&id, ANY).map(none),
        Write::End(id, status) => tx.sessions().end(&id, status, ANY).map(none),
        Write::MarkSession(id, true) => tx.sessions().delete(&id, ANY).map(none),
        Write::MarkSession(id, false) => tx.sessions().undelete(&id, ANY).map(none),
        Write::Transition(draft) => {
            tx.transitions().record(&of(draft))?;
            let page = PageRequest::new(1).order(Order::Descending);
            let newest = tx.transitions().list(&TransitionFilter::default(), &page)?;
            Ok(newest.items[0].transition.id.to_string())
        }
        Write::Event(event) => tx.events().append(&event).map(|_| String::new()),
        Write::Snapshot(id, description, expires_at) => tx
            .snapshots()
            .create(&id, &options(description, expires_at)),
    }
}

fn of(draft: Draft) -> TransitionDraft {
    let mut built = TransitionDraft::new(draft.agent_id, draft.before, draft.after);
    if let Some(reason) = draft.reason {
        built = built.reason(reason);
    }
    if let Some(metadata) = draft.metadata {
        built = built.metadata(metadata);
    }
    built
}

fn options(description: Option<String>, expires_at: Option<i64>) -> SnapshotOptions {
    let mut options = SnapshotOptions::default();
    if let Some(description) = description {
        options = options.description(description);
    }
    if let Some(seconds) = expires_at {
        options = options.expires_at(seconds);
    }
    options
}

/// By plain Diesel, with the id that the store chose; whether the store should have done it.
async fn by_diesel(
    store: &SqliteStateStore,
    write: Write,
    chosen: String,
    now: i64,
) -> Result<bool, StateStoreError> {
    let namespace = store.prefix().to_owned();
    let done = store.transact(move |tx| {
        let (db, namespace) = (tx.sqlite()?, namespace.as_str());
        let done = match write {
            Write::Agent(state) => plain::save_agent(db, namespace, &state, now),
            Write::AgentStatus(id, status) => {
                plain::agent_rows::set_status(db, (namespace, &id), &status, now)
            }
            Write::MarkAgent(id, delete) => {
                plain::agent_rows::mark(db, (namespace, &id), delete, now)
            }
            Write::Task(task) => plain::save_task(db, namespace, &task, now),
            Write::TaskStatus(id, status) => {
                let (id, status) = (id.to_string(), status.to_string());
                plain::task_rows::set_status(db, (namespace, &id), &status, now)
            }
            Write::MarkTask(id, delete) => {
                plain::task_rows::mark(db, (namespace, &id.to_string()), delete, now)
            }
            Write::Session(session) => plain::save_session(db, namespace, &session, now),
            Write::Touch(id) => plain::touch_or_end(db, (namespace, &id), None, now),
            Write::End(id, status) => {
                plain::touch_or_end(db, (namespace, &id), Some(&status.to_string()), now)
            }
            Write::MarkSession(id, delete) => {
                plain::session_rows::mark(db, (namespace, &id), delete, now)
            }
            Write::Transition(draft) => plain::record(db, (namespace, &chosen), &draft, now),
            Write::Event(event) => plain::append(db, namespace, &event, now),
            Write::Snapshot(id, description, expires_at) => {
                let options = (description.as_deref(), expires_at);
                plain::snapshot(db, (namespace, &id), &chosen, options, now)
            }
        };
        Ok(done?)
    });
    done.await
}

/// Every column of every row under a prefix, but for the sequence number: that may have gaps.
fn dump(store: &SqliteStateStore) -> Vec<String> {
    let mut connection = connect(store.path());
    let mut rows = Vec::new();
    for table in TABLES {
        let columns = format!(
            "SELECT 'quote(' || name || ')' AS line FROM pragma_table_info('{table}') WHERE name NOT IN ('seq', 'search_text')"
        );
        let columns = lines(&mut connection, &columns).join(" || ', ' || ");
        let query = format!(
            "SELECT '{table}: ' || {columns} AS line FROM {table} WHERE namespace = '{}' ORDER BY rowid",
            store.prefix()
        );
        rows.extend(lines(&mut connection, &query));
    }
    rows
}

#[tokio::test]
async fn whatever_is_written_in_whatever_order_the_rows_are_those_of_plain_diesel() -> TestResult {
    let clock = ManualClock::at_seconds(NOW);
    let (_one, by_us) = open(quick().clock(clock.clone())).await;
    let (_two, by_them) = open(quick()).await;
    let (runtime, case) = (Handle::current(), AtomicUsize::new(0));
    let seconds = AtomicI64::new(NOW);
    // One connection for all of it: a statement that holds on to a value, or is taken for another, mixes them up.
    let writes = || vec((write(), any::<bool>(), any::<bool>()), 1..40);
    let us = by_us.clone();
    for_all(96, writes, move |writes| {
        let case = case.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(async {
            for (write, is_left, in_closure) in writes {
                let side = if is_left { "left" } else { "right" };
                let namespace = format!("{side}{case}");
                let (ours, theirs) = (us.with_prefix(&namespace), by_them.with_prefix(&namespace));
                clock.advance_seconds(1);
                let now = 1 + seconds.fetch_add(1, Ordering::Relaxed);
                let done = by_store(&ours, write.clone(), in_closure).await;
                let is_done = by_diesel(
                    &theirs,
                    write.clone(),
                    done.as_ref().cloned().unwrap_or_default(),
                    now,
                );
                prop_assert_eq!(
                    is_done.await.unwrap(),
                    done.is_ok(),
                    "{:?}: {:?}",
                    write,
                    done
                );
                if let Err(error) = &done {
                    let is_refusal = matches!(
                        error,
                        StateStoreError::NotFound { .. }
                            | StateStoreError::InvalidInput { .. }
                            | StateStoreError::InvalidState { .. }
                            | StateStoreError::Conflict { .. }
                    );
                    prop_assert!(is_refusal, "{}", error);
                }
                prop_assert_eq!(dump(&ours), dump(&theirs), "{:?}", write);
            }
            Ok(())
        })
    })
    .await?;
    until_indexed(&by_us).await;
    index_is_whole(&by_us);
    Ok(())
}

/// Whether the index is what SQLite makes of the rows when it rebuilds it.
fn index_is_whole(store: &SqliteStateStore) {
    let mut connection = connect(store.path());
    assert_index_is_whole(&mut connection);
    connection
        .batch_execute(
            "CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'events_search', 'instance');",
        )
        .unwrap();
    let words = "SELECT concat_ws(' ', term, doc, col, \"offset\") AS line FROM words ORDER BY 1";
    let before = lines(&mut connection, words);
    assert!(!before.is_empty());
    connection
        .batch_execute("INSERT INTO events_search (events_search) VALUES ('rebuild');")
        .unwrap();
    assert_eq!(lines(&mut connection, words), before);
    assert_intact(&mut connection);
}

#[tokio::test]
async fn bodies_of_both_kinds_take_turns_in_one_statement() -> TestResult {
    let (_directory, store) = open(quick().compression(true).compression_threshold(64)).await;
    for round in 0..20 {
        let body = if round % 2 == 0 {
            "short".into()
        } else {
            "long ".repeat(100)
        };
        let state = AgentState {
            state_data: body.clone(),
            ..descartes_state_testing::agent("agent")
        };
        store.save_agent_state(&state).await?;
        let loaded = store.load_agent_state("agent").await?.unwrap();
        assert_eq!(loaded.state_data, body);
        let draft = TransitionDraft::new("agent", &body, "short");
        store.transitions().record(&draft).await?;
        let history = store.get_state_history("agent", 1).await?;
        assert_eq!(history[0].state_before, body);
        let snapshot = store.create_snapshot("agent", None).await?;
        let record = store.snapshots().get(&snapshot).await?.unwrap();
        assert_eq!(record.state_data, body);
    }
    let kinds = "SELECT DISTINCT typeof(state_before) || state_before_codec AS line FROM state_transitions ORDER BY 1";
    assert_eq!(lines(&mut connect(store.path()), kinds), ["blob1", "text0"]);
    Ok(())
}
