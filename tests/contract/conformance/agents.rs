//! Agents: saved, loaded, listed, changed, deleted.

use std::sync::Arc;

use descartes_state::serde_json::{Value, json};
use descartes_state::{AgentState, StateStore, StateStoreError};
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::configurations::LIST_ROWS;
use descartes_state_testing::{
    NOW, TestResult, agent, any_id, any_json, any_text, for_all, keeps_nul,
};

type Store = Arc<dyn StateStore>;

fn any_agent() -> impl Strategy<Value = AgentState> {
    let texts = (any_id(), any_text(), any_id(), any_text());
    // Long and repetitive, so that compression has something to do.
    let copies = 1..40_usize;
    (texts, any_json(), any::<[i64; 3]>(), copies).prop_map(|(texts, metadata, numbers, copies)| {
        let (agent_id, name, status, state_data) = texts;
        let [created_at, updated_at, version] = numbers;
        AgentState {
            agent_id,
            name,
            status,
            metadata,
            state_data: state_data.repeat(copies),
            created_at,
            updated_at,
            version,
        }
    })
}

pub(crate) async fn every_field_comes_back_as_it_was_saved(store: Store) -> TestResult {
    let extreme = AgentState {
        created_at: i64::MIN,
        updated_at: i64::MAX,
        version: i64::MIN,
        state_data: "{\"a\0b\": \"\u{1}\u{1f980}\"}".repeat(500),
        name: if keeps_nul() { "\0" } else { "" }.to_owned(),
        ..agent("extreme")
    };
    store.save_agent_state(&extreme).await?;
    assert_eq!(store.load_agent_state("extreme").await?, Some(extreme));

    let runtime = Handle::current();
    for_all(48, any_agent, move |state| {
        let loaded = runtime.block_on(async {
            store.save_agent_state(&state).await?;
            let loaded = store.load_agent_state(&state.agent_id).await?;
            store.delete_agent(&state.agent_id).await?;
            Ok::<_, StateStoreError>(loaded)
        });
        let loaded = loaded.map_err(|error| TestCaseError::fail(error.to_string()))?;
        // Text too: `==` takes -0.0 for 0.0.
        let text = loaded.as_ref().map(|loaded| loaded.metadata.to_string());
        prop_assert_eq!(text, Some(state.metadata.to_string()));
        prop_assert_eq!(loaded, Some(state));
        Ok(())
    })
    .await
}

pub(crate) async fn numbers_in_metadata_come_back_to_the_last_bit(store: Store) -> TestResult {
    let floats = [
        0.1 + 0.2,
        -0.0,
        5e-324,
        f64::MAX,
        f64::MIN_POSITIVE,
        1e15,
        1e16,
        9_007_199_254_740_993.0,
    ];
    let integers = json!([i64::MIN, i64::MAX, u64::MAX, 0, -1]);
    let metadata = json!({ "floats": floats, "integers": integers });
    store
        .save_agent_state(&AgentState {
            metadata,
            ..agent("a")
        })
        .await?;
    let loaded = store
        .load_agent_state("a")
        .await?
        .ok_or("not saved")?
        .metadata;
    let bits = |value: &Value| value.as_f64().map(f64::to_bits);
    let stored: Vec<_> = loaded["floats"]
        .as_array()
        .into_iter()
        .flatten()
        .map(bits)
        .collect();
    assert_eq!(stored, floats.map(|float| Some(float.to_bits())));
    assert_eq!(loaded["integers"], integers);
    Ok(())
}

pub(crate) async fn saving_again_replaces_everything_but_created_at(store: Store) -> TestResult {
    let first = agent("a");
    store.save_agent_state(&first).await?;
    let second = AgentState {
        agent_id: "a".to_owned(),
        name: "other".to_owned(),
        status: "running".to_owned(),
        metadata: json!(null),
        state_data: String::new(),
        created_at: 77,
        updated_at: 88,
        version: -3,
    };
    store.save_agent_state(&second).await?;
    let created_at = first.created_at;
    let expected = AgentState {
        created_at,
        ..second
    };
    assert_eq!(store.load_agent_state("a").await?, Some(expected.clone()));
    assert_eq!(store.list_agents().await?, [expected]);
    Ok(())
}

pub(crate) async fn an_unknown_agent_is_none(store: Store) -> TestResult {
    assert_eq!(store.load_agent_state("nobody").await?, None);
    assert_eq!(store.list_agents().await?, []);
    Ok(())
}

pub(crate) async fn ids_are_compared_byte_by_byte(store: Store) -> TestResult {
    // The last two are both "é": composed, and from two characters.
    let ids = [
        "a", "A", " a", "a ", "a%", "_", "a:b", "a%3Ab", "\u{e9}", "e\u{301}",
    ];
    for id in ids {
        store.save_agent_state(&agent(id)).await?;
    }
    assert_eq!(store.list_agents().await?.len(), ids.len());
    for id in ids {
        assert_eq!(store.load_agent_state(id).await?, Some(agent(id)));
    }
    Ok(())
}

pub(crate) async fn agents_are_listed_by_id(store: Store) -> TestResult {
    let mut ids = ["b", "a10", "a2", "B", "\u{e9}", "z", "\u{1f980}", "a"];
    for id in ids {
        store.save_agent_state(&agent(id)).await?;
    }
    ids.sort_unstable();
    assert_eq!(store.list_agents().await?, ids.map(agent));
    Ok(())
}

pub(crate) async fn a_deleted_agent_is_not_found(store: Store) -> TestResult {
    store.save_agent_state(&agent("a")).await?;
    store.save_agent_state(&agent("b")).await?;
    store.delete_agent("a").await?;
    assert_eq!(store.load_agent_state("a").await?, None);
    assert_eq!(store.list_agents().await?, [agent("b")]);
    Ok(())
}

pub(crate) async fn a_deleted_agent_begins_again_when_it_is_saved(store: Store) -> TestResult {
    store.save_agent_state(&agent("a")).await?;
    store.delete_agent("a").await?;
    let reborn = AgentState {
        created_at: 5,
        name: "reborn".to_owned(),
        ..agent("a")
    };
    store.save_agent_state(&reborn).await?;
    assert_eq!(store.load_agent_state("a").await?, Some(reborn));
    Ok(())
}

pub(crate) async fn a_status_changes_alone_with_updated_at(store: Store) -> TestResult {
    store.save_agent_state(&agent("a")).await?;
    store.save_agent_state(&agent("b")).await?;
    store.update_agent_status("a", "paused \u{1f980}").await?;
    let expected = AgentState {
        status: "paused \u{1f980}".to_owned(),
        updated_at: NOW,
        ..agent("a")
    };
    assert_eq!(store.load_agent_state("a").await?, Some(expected));
    assert_eq!(store.load_agent_state("b").await?, Some(agent("b")));
    Ok(())
}

pub(crate) async fn changing_or_deleting_a_missing_agent_is_not_found(store: Store) -> TestResult {
    store.save_agent_state(&agent("gone")).await?;
    store.delete_agent("gone").await?;
    for id in ["never", "gone"] {
        for result in [
            store.update_agent_status(id, "x").await,
            store.delete_agent(id).await,
        ] {
            assert!(
                matches!(&result, Err(StateStoreError::NotFound { entity: "agent", id: named }) if named == id),
                "{id}: {result:?}"
            );
        }
        assert_eq!(store.load_agent_state(id).await?, None);
    }
    Ok(())
}

pub(crate) async fn too_many_agents_are_an_error_never_a_cut(store: Store) -> TestResult {
    for number in 0..LIST_ROWS {
        store
            .save_agent_state(&agent(&format!("{number:03}")))
            .await?;
    }
    assert_eq!(store.list_agents().await?.len(), LIST_ROWS);
    store.save_agent_state(&agent("one more")).await?;
    too_many(store.list_agents().await, "agents().list(..)");
    // Whoever is deleted doesn't count.
    store.delete_agent("000").await?;
    assert_eq!(store.list_agents().await?.len(), LIST_ROWS);
    Ok(())
}

/// The list was refused with its limit, and names the method that returns the same rows by page.
pub(crate) fn too_many<T: std::fmt::Debug>(result: Result<T, StateStoreError>, form: &str) {
    let text = result
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        matches!(result, Err(StateStoreError::TooManyRows { limit, page_form })
            if limit == LIST_ROWS as u64 && page_form == form),
        "{text}"
    );
    assert!(text.contains(form), "{text}");
}
