//! Events: appended once, listed newest first.

use std::sync::Arc;

use descartes_state::serde_json::json;
use descartes_state::uuid::Uuid;
use descartes_state::{ActorType, Event, SaveIf, StateStore, StateStoreError};
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::agents::too_many;
use super::configurations::LIST_ROWS;
use descartes_state_testing::{TestResult, any_id, any_json, any_text, event, for_all};

type Store = Arc<dyn StateStore>;

fn any_event() -> impl Strategy<Value = Event> {
    let ids = (any_id(), any_id(), any_id(), proptest::option::of(any_id()));
    let actor_type = proptest::sample::select(ActorType::ALL);
    let metadata = proptest::option::of(any_json());
    (ids, actor_type, any_text(), metadata, any::<i64>()).prop_map(
        |(ids, actor_type, content, metadata, timestamp)| {
            let (event_type, session_id, actor_id, git_commit) = ids;
            Event {
                id: Uuid::nil(),
                event_type,
                timestamp,
                session_id,
                actor_type,
                actor_id,
                content,
                metadata,
                git_commit,
            }
        },
    )
}

pub(crate) async fn every_field_of_an_event_comes_back(store: Store) -> TestResult {
    let runtime = Handle::current();
    for_all(48, any_event, move |mut event| {
        // Each try in lists of its own, also while an input is made smaller.
        event.id = Uuid::now_v7();
        event.session_id.push_str(&event.id.to_string());
        event.event_type.push_str(&event.id.to_string());
        let read = runtime.block_on(async {
            store.save_event(&event).await?;
            let mut read = store.get_events(&event.session_id).await?;
            read.extend(store.get_events_by_type(&event.event_type).await?);
            Ok::<_, StateStoreError>(read)
        });
        let read = read.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.len(), 2);
        for read in &read {
            let text = |event: &Event| event.metadata.as_ref().map(ToString::to_string);
            prop_assert_eq!(text(read), text(&event));
            prop_assert_eq!(read, &event);
        }
        Ok(())
    })
    .await
}

pub(crate) async fn the_same_event_again_is_a_no_op(store: Store) -> TestResult {
    let first = event("first");
    store.save_event(&first).await?;
    store.save_event(&event("second")).await?;
    store.save_event(&first).await?;
    // Once, and where it was.
    let listed = store.get_events("session").await?;
    let contents: Vec<_> = listed.iter().map(|event| event.content.as_str()).collect();
    assert_eq!(contents, ["second", "first"]);
    assert_eq!(store.search_events("first").await?, [first]);
    Ok(())
}

pub(crate) async fn other_content_under_the_same_id_is_a_conflict(store: Store) -> TestResult {
    let stored = event("stored");
    store.save_event(&stored).await?;
    let others = [
        Event {
            event_type: "other".to_owned(),
            ..stored.clone()
        },
        Event {
            timestamp: 1,
            ..stored.clone()
        },
        Event {
            session_id: "other".to_owned(),
            ..stored.clone()
        },
        Event {
            actor_type: ActorType::User,
            ..stored.clone()
        },
        Event {
            actor_id: "other".to_owned(),
            ..stored.clone()
        },
        Event {
            content: "other".to_owned(),
            ..stored.clone()
        },
        Event {
            metadata: Some(json!({ "n": 1.0 })),
            ..stored.clone()
        },
        Event {
            metadata: None,
            ..stored.clone()
        },
        Event {
            git_commit: None,
            ..stored.clone()
        },
    ];
    for other in others {
        let result = store.save_event(&other).await;
        assert!(
            matches!(&result, Err(StateStoreError::Conflict { entity: "event", id, expected: SaveIf::Absent, .. })
                if *id == stored.id.to_string()),
            "{other:?}: {result:?}"
        );
    }
    assert_eq!(store.get_events("session").await?, [stored]);
    assert_eq!(store.search_events("other").await?, []);
    Ok(())
}

pub(crate) async fn events_of_a_session_are_newest_first_by_arrival(store: Store) -> TestResult {
    // Their own times go up and down; the order is that in which they came.
    let events = [50, 10, 90, 10].map(|timestamp| Event {
        timestamp,
        ..event("x")
    });
    for event in &events {
        store.save_event(event).await?;
        let elsewhere = Event {
            session_id: "elsewhere".to_owned(),
            ..descartes_state_testing::event("x")
        };
        store.save_event(&elsewhere).await?;
    }
    let mut newest_first = events.to_vec();
    newest_first.reverse();
    assert_eq!(store.get_events("session").await?, newest_first);
    assert_eq!(store.get_events("elsewhere").await?.len(), 4);
    assert_eq!(store.get_events("sessio").await?, []);
    Ok(())
}

pub(crate) async fn events_of_a_type_are_newest_first_across_sessions(store: Store) -> TestResult {
    let mut events = Vec::new();
    for (number, session) in ["one", "two", "one"].iter().enumerate() {
        let event = Event {
            event_type: "wanted".to_owned(),
            session_id: (*session).to_owned(),
            ..event(&number.to_string())
        };
        store.save_event(&event).await?;
        store
            .save_event(&descartes_state_testing::event("unwanted"))
            .await?;
        events.insert(0, event);
    }
    assert_eq!(store.get_events_by_type("wanted").await?, events);
    assert_eq!(store.get_events_by_type("want").await?, []);
    Ok(())
}

pub(crate) async fn too_many_events_are_an_error_never_a_cut(store: Store) -> TestResult {
    for _ in 0..LIST_ROWS {
        store.save_event(&event("x")).await?;
    }
    assert_eq!(store.get_events("session").await?.len(), LIST_ROWS);
    assert_eq!(store.get_events_by_type("note").await?.len(), LIST_ROWS);
    store.save_event(&event("x")).await?;
    too_many(store.get_events("session").await, "events().list(..)");
    too_many(store.get_events_by_type("note").await, "events().list(..)");
    Ok(())
}
