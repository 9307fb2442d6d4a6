//! Bad arguments to every public method: a typed error that names the argument, and nothing is written.

use std::collections::BTreeSet;

use descartes_state::uuid::Uuid;
use descartes_state::{Session, SessionStatus, StateStoreError, StoreOptions};

use crate::table::Method::{Id, Input, Nothing};
use crate::table::table;
use descartes_state_testing::{Place, TestResult, agent, dump, event, public_async_methods};

#[test]
fn every_public_method_has_its_bad_input() -> TestResult {
    let listed: BTreeSet<String> = table().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(public_async_methods()?, listed);
    let reasons = table()
        .into_iter()
        .filter_map(|(name, method)| match method {
            Nothing(reason) => Some((name, reason)),
            _ => None,
        });
    for (name, reason) in reasons {
        assert!(!reason.is_empty(), "{name}");
    }
    Ok(())
}

/// A store on each database, with a row in some tables.
async fn filled() -> Result<Vec<Place>, StateStoreError> {
    let places = Place::everywhere(StoreOptions::default()).await;
    for store in &places {
        store.save_agent_state(&agent("agent")).await?;
        store.save_event(&event("x")).await?;
        store
            .sessions()
            .start(&Session::new("session", "agent"))
            .await?;
    }
    Ok(places)
}

#[tokio::test]
async fn bad_input_is_refused_by_the_name_of_the_argument() -> TestResult {
    for store in filled().await? {
        let store = store.store();
        let before = dump(store, None).await?;
        for (name, method) in table() {
            let (field, call, ids) = match method {
                Id(field, call) => (field, call, ["", "a\0b", "\0"].as_slice()),
                Input(field, call) => (field, call, ["unused"].as_slice()),
                Nothing(_) => continue,
            };
            for id in ids {
                let error = call(store, id)
                    .await
                    .err()
                    .ok_or(format!("{name} took {id:?} as {field}"))?;
                let (named, reason) = match &error {
                    StateStoreError::InvalidInput { field, reason } => (*field, reason.clone()),
                    // Metadata of too many levels.
                    StateStoreError::TooLarge {
                        field,
                        unit: "levels",
                        ..
                    } => (*field, "levels".to_owned()),
                    other => return Err(format!("{name} {id:?}: {other:?}").into()),
                };
                assert_eq!(named, field, "{name} {id:?}: {error}");
                let text = error.to_string();
                assert!(
                    text.contains(field) && text.contains(&reason) && reason.len() > 5,
                    "{text}"
                );
                assert!(!error.is_retryable(), "{text}");
            }
        }
        assert_eq!(dump(store, None).await?, before);
    }
    Ok(())
}

#[tokio::test]
async fn every_method_of_a_closed_store_says_so() -> TestResult {
    for place in filled().await? {
        let store = place.store();
        // Another store on the database keeps it open; this one is closed nevertheless.
        let other = place.open_again(StoreOptions::default()).await;
        store.close().await?;
        store.close().await?;
        let prefixed = store.with_prefix("p");
        for handle in [store, &prefixed] {
            for (name, method) in table() {
                if let Id(_, call) | Input(_, call) = method {
                    // An argument may be refused before the store is asked; a good one never passes.
                    match call(handle, "good").await {
                        Err(StateStoreError::Closed) => {}
                        Err(
                            StateStoreError::InvalidInput { .. } | StateStoreError::TooLarge { .. },
                        ) if matches!(method, Input(..)) => {}
                        result => return Err(format!("{name}: {result:?}").into()),
                    }
                }
            }
            let results = [
                ("initialize", handle.initialize().await),
                (
                    "get_migration_history",
                    handle.get_migration_history().await.map(drop),
                ),
                ("list_agents", handle.list_agents().await.map(drop)),
                ("get_tasks", handle.get_tasks().await.map(drop)),
                ("get_task", handle.get_task(&Uuid::nil()).await.map(drop)),
                ("search_events", handle.search_events("x").await.map(drop)),
                ("pending", handle.migrations().pending().await.map(drop)),
                ("revert", handle.migrations().revert().await.map(drop)),
                (
                    "purge_before",
                    handle.events().purge_before(0).await.map(drop),
                ),
                (
                    "purge_expired",
                    handle.snapshots().purge_expired().await.map(drop),
                ),
            ];
            for (name, result) in results {
                assert!(
                    matches!(result, Err(StateStoreError::Closed)),
                    "{name}: {result:?}"
                );
            }
        }
        assert_eq!(other.list_agents().await?, [agent("agent")]);
    }
    Ok(())
}

#[tokio::test]
async fn every_method_before_initialize_says_what_to_call() -> TestResult {
    for place in Place::uninitialized().await {
        let store = place.store();
        for (name, method) in table() {
            if let Id(_, call) = method {
                let result = call(store, "good").await;
                let text = result
                    .as_ref()
                    .err()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(
                    matches!(result, Err(StateStoreError::NotInitialized { .. })),
                    "{name}: {result:?}"
                );
                assert!(text.contains("initialize()"), "{text}");
            }
        }
        assert_eq!(store.get_migration_history().await?, []);
        assert_eq!(
            store
                .migrations()
                .pending()
                .await?
                .first()
                .map(|first| first.version),
            Some(1)
        );
        store.initialize().await?;
        assert_eq!(store.list_agents().await?, []);
    }
    Ok(())
}

#[test]
fn a_text_that_is_no_cursor_or_enum_is_refused_with_what_would_be() {
    for text in [
        "",
        "x",
        "b",
        "bx",
        "a9223372036854775808",
        "i%ff",
        "\u{1f980}",
        "b1\n",
    ] {
        let result = text.parse::<descartes_state::Cursor>();
        assert!(
            matches!(
                result,
                Err(StateStoreError::InvalidInput {
                    field: "cursor",
                    ..
                })
            ),
            "{text:?}"
        );
    }
    let said = "Todo"
        .parse::<descartes_state::TaskStatus>()
        .err()
        .map(|error| error.to_string());
    let said = said.unwrap_or_default();
    for part in ["task status", "\"Todo\"", "todo", "in_progress", "dead"] {
        assert!(said.contains(part), "{said}");
    }
    assert!("".parse::<descartes_state::ActorType>().is_err());
    assert!("ended".parse::<SessionStatus>().is_err());
}
