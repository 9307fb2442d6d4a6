//! Each input has its limit: exactly at it the call works, one above it is `TooLarge`, and nothing was written.

mod threads;

use std::future::Future;

use descartes_state::serde_json::{Value, json};
use descartes_state::{
    AgentFilter, AgentState, AnyStateStore, AppendOptions, ChangeIf, Event, EventFilter, Limits,
    PageRequest, Session, SessionFilter, SnapshotFilter, SnapshotOptions, StateStoreError,
    StoreOptions, Task, TaskFilter, TransitionDraft, TransitionFilter,
};
use descartes_state_testing::{Place, TestResult, agent, dump, event, task};

const ANY: ChangeIf = ChangeIf::Any;

/// A text of so many bytes, from characters of one, two and four bytes.
fn text(bytes: usize) -> String {
    let mut text = "\u{1f980}".repeat(bytes / 8);
    text.push_str(&"x".repeat(bytes - text.len()));
    text
}

/// JSON of so many bytes.
fn json_of(bytes: usize) -> Value {
    json!(text(bytes - 2))
}

/// JSON of so many levels.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, level| {
        if level % 2 == 0 {
            json!([inner])
        } else {
            json!({ "a": inner })
        }
    })
}

/// A store on each database with an agent, and the id of a snapshot of it.
async fn filled(limits: Limits) -> Result<Vec<(Place, String)>, StateStoreError> {
    let mut all = Vec::new();
    for place in Place::everywhere(StoreOptions::default().limits(limits)).await {
        place.save_agent_state(&agent("agent")).await?;
        let snapshot = place.create_snapshot("agent", None).await?;
        all.push((place, snapshot));
    }
    Ok(all)
}

/// Tries a call at its limit and one above it.
async fn holds<T, F>(
    store: &AnyStateStore,
    (field, limit, unit): (&str, usize, &str),
    call: impl Fn(AnyStateStore, usize) -> F,
) -> TestResult
where
    T: std::fmt::Debug,
    F: Future<Output = Result<T, StateStoreError>>,
{
    let before = dump(store, None).await?;
    let above = call(store.clone(), limit + 1).await;
    let said = above
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        matches!(&above, Err(StateStoreError::TooLarge { field: named, size, limit: most, unit: counted })
            if *named == field && *size == limit as u64 + 1 && *most == limit as u64 && *counted == unit),
        "{said}"
    );
    for part in [field, unit, &limit.to_string(), &(limit + 1).to_string()] {
        assert!(said.contains(part), "{said}");
    }
    assert!(
        dump(store, None).await? == before,
        "{field}: something was written"
    );
    // What isn't there may be missing, but not too large.
    match call(store.clone(), limit).await {
        Ok(_) | Err(StateStoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(format!("{field} at its limit: {error}").into()),
    }
}

/// One test an input: its name, the field and unit of the error, and the call with a value of `$size`.
macro_rules! limit_tests {
    ($limits:expr; $(
        $test:ident: $field:literal $limit:literal $unit:literal |$store:ident, $snapshot:ident, $size:ident| $call:expr;
    )+) => { $(
        #[tokio::test]
        async fn $test() -> TestResult {
            for (place, snapshot) in filled($limits).await? {
                holds(place.store(), ($field, $limit, $unit), |$store, $size| {
                    let $snapshot = snapshot.clone();
                    async move {
                        let _ = &$snapshot;
                        $call.await
                    }
                })
                .await?;
            }
            Ok(())
        }
    )+ };
}

// The defaults, as they are documented.
limit_tests! { Limits::default();
    id_of_a_saved_agent: "agent_id" 512 "bytes" |store, _snapshot, size| store.save_agent_state(&AgentState { agent_id: text(size), ..agent("") });
    id_of_a_loaded_agent: "agent_id" 512 "bytes" |store, _snapshot, size| store.load_agent_state(&text(size));
    id_of_a_changed_agent: "agent_id" 512 "bytes" |store, _snapshot, size| store.update_agent_status(&text(size), "x");
    id_of_a_deleted_agent: "agent_id" 512 "bytes" |store, _snapshot, size| store.delete_agent(&text(size));
    id_of_an_undeleted_agent: "agent_id" 512 "bytes" |store, _snapshot, size| store.agents().undelete(&text(size), ANY);
    id_of_a_purged_agent: "agent_id" 512 "bytes" |store, _snapshot, size| store.agents().purge(&text(size), ANY);
    status_of_a_saved_agent: "status" 512 "bytes" |store, _snapshot, size| store.save_agent_state(&AgentState { status: text(size), ..agent("a") });
    status_of_a_changed_agent: "status" 512 "bytes" |store, _snapshot, size| store.update_agent_status("agent", &text(size));
    status_of_an_agent_filter: "status" 512 "bytes" |store, _snapshot, size| store.agents().list(&AgentFilter::default().status(text(size)), &PageRequest::default());
    name_of_an_agent: "name" 65_536 "bytes" |store, _snapshot, size| store.save_agent_state(&AgentState { name: text(size), ..agent("a") });
    metadata_bytes_of_an_agent: "metadata" 1_048_576 "bytes" |store, _snapshot, size| store.save_agent_state(&AgentState { metadata: json_of(size), ..agent("a") });
    metadata_levels_of_an_agent: "metadata" 100 "levels" |store, _snapshot, size| store.save_agent_state(&AgentState { metadata: nested(size), ..agent("a") });

    agent_of_a_transition: "agent_id" 512 "bytes" |store, _snapshot, size| store.record_state_transition(&text(size), "x", "y", None);
    agent_of_a_history: "agent_id" 512 "bytes" |store, _snapshot, size| store.get_state_history(&text(size), 1);
    agent_of_a_transition_filter: "agent_id" 512 "bytes" |store, _snapshot, size| store.transitions().count(&TransitionFilter::default().agent(text(size)));
    reason_of_a_transition: "reason" 65_536 "bytes" |store, _snapshot, size| store.record_state_transition("a", "x", "y", Some(text(size)));
    metadata_bytes_of_a_transition: "metadata" 1_048_576 "bytes" |store, _snapshot, size| store.transitions().record(&TransitionDraft::new("a", "x", "y").metadata(json_of(size)));
    metadata_levels_of_a_transition: "metadata" 100 "levels" |store, _snapshot, size| store.transitions().record(&TransitionDraft::new("a", "x", "y").metadata(nested(size)));

    agent_of_a_snapshot: "agent_id" 512 "bytes" |store, _snapshot, size| store.create_snapshot(&text(size), None);
    agent_of_a_list_of_snapshots: "agent_id" 512 "bytes" |store, _snapshot, size| store.list_snapshots(&text(size));
    agent_of_a_snapshot_filter: "agent_id" 512 "bytes" |store, _snapshot, size| store.snapshots().count(&SnapshotFilter::default().agent(text(size)));
    id_of_a_restored_snapshot: "snapshot_id" 512 "bytes" |store, _snapshot, size| store.restore_snapshot(&text(size));
    id_of_a_read_snapshot: "snapshot_id" 512 "bytes" |store, _snapshot, size| store.snapshots().get(&text(size));
    id_of_an_updated_snapshot: "snapshot_id" 512 "bytes" |store, _snapshot, size| store.snapshots().update(&text(size), &SnapshotOptions::default(), ANY);
    id_of_a_deleted_snapshot: "snapshot_id" 512 "bytes" |store, _snapshot, size| store.snapshots().purge(&text(size), ANY);
    description_of_a_snapshot: "description" 65_536 "bytes" |store, _snapshot, size| store.create_snapshot("agent", Some(text(size)));
    description_of_an_updated_snapshot: "description" 65_536 "bytes" |store, snapshot, size| store.snapshots().update(&snapshot, &SnapshotOptions::default().description(text(size)), ANY);

    type_of_an_event: "event_type" 512 "bytes" |store, _snapshot, size| store.save_event(&Event { event_type: text(size), ..event("x") });
    session_of_an_event: "session_id" 512 "bytes" |store, _snapshot, size| store.save_event(&Event { session_id: text(size), ..event("x") });
    actor_of_an_event: "actor_id" 512 "bytes" |store, _snapshot, size| store.save_event(&Event { actor_id: text(size), ..event("x") });
    commit_of_an_event: "git_commit" 512 "bytes" |store, _snapshot, size| store.save_event(&Event { git_commit: Some(text(size)), ..event("x") });
    metadata_bytes_of_an_event: "metadata" 1_048_576 "bytes" |store, _snapshot, size| store.save_event(&Event { metadata: Some(json_of(size)), ..event("x") });
    metadata_levels_of_an_event: "metadata" 100 "levels" |store, _snapshot, size| store.save_event(&Event { metadata: Some(nested(size)), ..event("x") });
    session_of_a_list_of_events: "session_id" 512 "bytes" |store, _snapshot, size| store.get_events(&text(size));
    type_of_a_list_of_events: "event_type" 512 "bytes" |store, _snapshot, size| store.get_events_by_type(&text(size));
    actor_of_an_event_filter: "actor_id" 512 "bytes" |store, _snapshot, size| store.events().count(&EventFilter::default().actor(text(size)));
    session_of_a_search_filter: "session_id" 512 "bytes" |store, _snapshot, size| store.events().search("x", &EventFilter::default().session(text(size)), &PageRequest::default());
    text_of_a_search: "search text" 4_096 "bytes" |store, _snapshot, size| store.search_events(&text(size));
    text_of_a_paged_search: "search text" 4_096 "bytes" |store, _snapshot, size| store.events().search(&text(size), &EventFilter::default(), &PageRequest::default());

    title_of_a_task: "title" 65_536 "bytes" |store, _snapshot, size| store.save_task(&Task { title: text(size), ..task("x") });
    description_of_a_task: "description" 65_536 "bytes" |store, _snapshot, size| store.save_task(&Task { description: Some(text(size)), ..task("x") });
    assignee_of_a_task: "assigned_to" 512 "bytes" |store, _snapshot, size| store.save_task(&Task { assigned_to: Some(text(size)), ..task("x") });
    assignee_of_a_task_filter: "assigned_to" 512 "bytes" |store, _snapshot, size| store.tasks().count(&TaskFilter::default().assigned_to(text(size)));
    metadata_bytes_of_a_task: "metadata" 1_048_576 "bytes" |store, _snapshot, size| store.save_task(&Task { metadata: Some(json_of(size)), ..task("x") });
    metadata_levels_of_a_task: "metadata" 100 "levels" |store, _snapshot, size| store.save_task(&Task { metadata: Some(nested(size)), ..task("x") });

    id_of_a_session: "session_id" 512 "bytes" |store, _snapshot, size| store.sessions().start(&Session::new(text(size), "a"));
    agent_of_a_session: "agent_id" 512 "bytes" |store, _snapshot, size| store.sessions().start(&Session::new("s", text(size)));
    id_of_a_read_session: "session_id" 512 "bytes" |store, _snapshot, size| store.sessions().get(&text(size));
    id_of_a_touched_session: "session_id" 512 "bytes" |store, _snapshot, size| store.sessions().touch(&text(size), ANY);
    id_of_a_purged_session: "session_id" 512 "bytes" |store, _snapshot, size| store.sessions().purge(&text(size), ANY);
    agent_of_a_session_filter: "agent_id" 512 "bytes" |store, _snapshot, size| store.sessions().count(&SessionFilter::default().agent(text(size)));
    metadata_bytes_of_a_session: "metadata" 1_048_576 "bytes" |store, _snapshot, size| store.sessions().start(&Session::new("s", "a").metadata(json_of(size)));
    metadata_levels_of_a_session: "metadata" 100 "levels" |store, _snapshot, size| store.sessions().start(&Session::new("s", "a").metadata(nested(size)));

    // Only the request: a page that isn't full has as many rows as there are.
    rows_of_a_page_of_agents: "page" 10_000 "rows" |store, _snapshot, size| store.agents().list(&AgentFilter::default(), &page(size));
    rows_of_a_page_of_transitions: "page" 10_000 "rows" |store, _snapshot, size| store.transitions().list(&TransitionFilter::default(), &page(size));
    rows_of_a_page_of_snapshots: "page" 10_000 "rows" |store, _snapshot, size| store.snapshots().list(&SnapshotFilter::default(), &page(size));
    rows_of_a_page_of_events: "page" 10_000 "rows" |store, _snapshot, size| store.events().list(&EventFilter::default(), &page(size));
    rows_of_a_page_of_hits: "page" 10_000 "rows" |store, _snapshot, size| store.events().search("x", &EventFilter::default(), &page(size));
    rows_of_a_page_of_tasks: "page" 10_000 "rows" |store, _snapshot, size| store.tasks().list(&TaskFilter::default(), &page(size));
    rows_of_a_page_of_sessions: "page" 10_000 "rows" |store, _snapshot, size| store.sessions().list(&SessionFilter::default(), &page(size));
}

fn page(rows: usize) -> PageRequest {
    PageRequest::new(u32::try_from(rows).unwrap_or(u32::MAX))
}

// Smaller than the defaults, where those take long.
limit_tests! { Limits::default().state_bytes(1_000).content_bytes(2_000).bulk_rows(20);
    bytes_of_a_state: "state_data" 1_000 "bytes" |store, _snapshot, size| store.save_agent_state(&AgentState { state_data: text(size), ..agent("a") });
    bytes_of_a_state_before: "state_before" 1_000 "bytes" |store, _snapshot, size| store.record_state_transition("a", &text(size), "", None);
    bytes_of_a_state_after: "state_after" 1_000 "bytes" |store, _snapshot, size| store.record_state_transition("a", "", &text(size), None);
    bytes_of_an_events_content: "content" 2_000 "bytes" |store, _snapshot, size| store.save_event(&Event { content: text(size), ..event("") });
    bytes_of_a_content_in_a_batch: "content" 2_000 "bytes" |store, _snapshot, size| store.events().append_all(&[event("good"), Event { content: text(size), ..event("") }]);
    rows_of_a_batch_with_options: "events" 20 "rows" |store, _snapshot, size| store.events().append_all_with(&vec![(&event("x"), AppendOptions::default()); size]);
    rows_of_a_batch: "events" 20 "rows" |store, _snapshot, size| store.events().append_all(&vec![event("x"); size]);
}

#[tokio::test]
async fn the_defaults_of_states_contents_and_batches_are_those_documented() -> TestResult {
    const LARGEST: usize = 64 * 1024 * 1024;
    for place in Place::everywhere(StoreOptions::default()).await {
        let store = place.store();
        let largest = AgentState {
            state_data: text(LARGEST),
            ..agent("a")
        };
        store.save_agent_state(&largest).await?;
        assert!(
            store.load_agent_state("a").await? == Some(largest),
            "it came back changed"
        );
        let state = store
            .save_agent_state(&AgentState {
                state_data: text(LARGEST + 1),
                ..agent("a")
            })
            .await;
        let content = store.save_event(&event(&text(LARGEST + 1))).await;
        for (result, field) in [(state, "state_data"), (content, "content")] {
            assert!(
                matches!(result, Err(StateStoreError::TooLarge { field: named, limit, .. })
                if named == field && limit == LARGEST as u64),
                "{field}"
            );
        }
        let batch = store.events().append_all(&vec![event(""); 100_001]).await;
        assert!(matches!(
            batch,
            Err(StateStoreError::TooLarge {
                limit: 100_000,
                unit: "rows",
                ..
            })
        ));
    }
    Ok(())
}

#[tokio::test]
async fn a_prefix_has_at_the_most_255_bytes() -> TestResult {
    for place in Place::everywhere(StoreOptions::default()).await {
        let store = place.store();
        let longest = store.try_with_prefix(&text(255))?;
        longest.save_agent_state(&agent("a")).await?;
        assert_eq!(longest.list_agents().await?.len(), 1);
        let said = store
            .try_with_prefix(&text(256))
            .err()
            .map(|error| error.to_string());
        assert_eq!(
            said.as_deref(),
            Some("invalid prefix: 256 bytes, the limit is 255")
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_list_is_whole_or_names_its_page_form() -> TestResult {
    let limits = Limits::default().list_rows(2);
    for place in Place::everywhere(StoreOptions::default().limits(limits)).await {
        let store = place.store();
        for number in 0..3 {
            let lists = [
                (
                    "agents().list(..)",
                    store.list_agents().await.map(|rows| rows.len()),
                ),
                (
                    "transitions().list(..)",
                    store.get_state_history("0", 9).await.map(|rows| rows.len()),
                ),
                (
                    "snapshots().list(..)",
                    store.list_snapshots("0").await.map(|rows| rows.len()),
                ),
                (
                    "events().list(..)",
                    store.get_events("session").await.map(|rows| rows.len()),
                ),
                (
                    "events().list(..)",
                    store
                        .get_events_by_type("note")
                        .await
                        .map(|rows| rows.len()),
                ),
                (
                    "events().search(..)",
                    store.search_events("word").await.map(|rows| rows.len()),
                ),
                (
                    "tasks().list(..)",
                    store.get_tasks().await.map(|rows| rows.len()),
                ),
            ];
            for (form, list) in lists {
                assert_eq!(list.map_err(|error| format!("{form}: {error}"))?, number);
            }
            store.save_agent_state(&agent(&number.to_string())).await?;
            store.record_state_transition("0", "x", "y", None).await?;
            store.create_snapshot("0", None).await?;
            store.save_event(&event("word")).await?;
            store.save_task(&task("x")).await?;
        }
        let lists = [
            ("agents().list(..)", store.list_agents().await.map(drop)),
            (
                "transitions().list(..)",
                store.get_state_history("0", 9).await.map(drop),
            ),
            (
                "snapshots().list(..)",
                store.list_snapshots("0").await.map(drop),
            ),
            (
                "events().list(..)",
                store.get_events("session").await.map(drop),
            ),
            (
                "events().list(..)",
                store.get_events_by_type("note").await.map(drop),
            ),
            (
                "events().search(..)",
                store.search_events("word").await.map(drop),
            ),
            ("tasks().list(..)", store.get_tasks().await.map(drop)),
        ];
        for (form, list) in lists {
            assert!(
                matches!(list, Err(StateStoreError::TooManyRows { limit: 2, page_form }) if page_form == form),
                "{list:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn limits_hold_inside_a_transaction_too() -> TestResult {
    for place in Place::everywhere(StoreOptions::default()).await {
        let store = place.store();
        let before = dump(store, None).await?;
        let refused = store
            .transact(|transaction| {
                transaction.agents().save(&agent("good"))?;
                transaction.events().append(&Event {
                    actor_id: text(513),
                    ..event("x")
                })
            })
            .await;
        assert!(
            matches!(
                refused,
                Err(StateStoreError::TooLarge {
                    field: "actor_id",
                    ..
                })
            ),
            "{refused:?}"
        );
        assert_eq!(dump(store, None).await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn lowering_a_limit_hides_nothing_that_is_stored() -> TestResult {
    let saved = AgentState {
        state_data: text(9_000),
        metadata: nested(50),
        ..agent("a")
    };
    let options = StoreOptions::default().compression(true);
    for place in Place::everywhere(options.clone()).await {
        let store = place.store();
        store.save_agent_state(&saved).await?;
        store.close().await?;
        let low = Limits::default()
            .state_bytes(10)
            .metadata_bytes(10)
            .metadata_levels(1);
        let store = place.open_again(options.clone().limits(low)).await;
        assert_eq!(store.load_agent_state("a").await?, Some(saved.clone()));
    }
    Ok(())
}
