//! Prefixes and the keys that they make.

use descartes_state::{SqliteStateStore, StateStoreError, StoreOptions};
use proptest::prelude::*;
use tokio::runtime::Handle;

use descartes_state_testing::{Place, TestResult, agent, dump, event, for_all};

/// Texts that are made to be taken for one another.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a:%]{0,4}",
        "(a|:|%|%25|%3A|%3a|b){0,4}",
        "[\u{e9}e\u{301}aA :/.'\"\\\\]{0,4}",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_pairs_of_prefix_and_agent_share_a_key() -> TestResult {
    for place in Place::everywhere(StoreOptions::default()).await {
        let store = place.store().clone();
        let pairs = || {
            let id = part().prop_map(|id| if id.is_empty() { "a".to_owned() } else { id });
            proptest::collection::btree_set((part(), id), 2..8)
        };
        let runtime = Handle::current();
        for_all(40, pairs, move |pairs| {
            let checked = runtime.block_on(async {
                let mut keys = std::collections::BTreeSet::new();
                for (prefix, id) in &pairs {
                    let store = store.with_prefix(prefix);
                    store.save_agent_state(&agent(id)).await?;
                    let record = store.agents().get(id).await?;
                    let record = record.ok_or_else(|| StateStoreError::application("not found"))?;
                    // The record says whose it is, and the key hides nothing.
                    assert_eq!((&record.namespace, &record.state.agent_id), (prefix, id));
                    if prefix.is_empty() && !id.contains([':', '%']) {
                        assert_eq!(&record.key, id);
                    }
                    keys.insert(record.key);
                }
                assert_eq!(keys.len(), pairs.len(), "{pairs:?}: {keys:?}");
                Ok::<_, StateStoreError>(())
            });
            checked.map_err(|error| TestCaseError::fail(error.to_string()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn keys_read_as_the_guide_writes_them() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let table = [
            ("worker", "agent_001", "worker:agent_001"),
            ("", "agent_001", "agent_001"),
            ("", "worker:agent_001", "worker%3Aagent_001"),
            ("a:b", "c%d", "a%3Ab:c%25d"),
        ];
        for (prefix, id, key) in table {
            let store = store.with_prefix(prefix);
            store.save_agent_state(&agent(id)).await?;
            let record = store.agents().get(id).await?.ok_or("not saved")?;
            assert_eq!(record.key, key);
        }
    }
    Ok(())
}

#[tokio::test]
async fn with_prefix_replaces_the_prefix_and_the_empty_one_is_none() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    assert_eq!(store.prefix(), "");
    let one = store.with_prefix("one".to_owned());
    let two = one.with_prefix("two");
    assert_eq!((one.prefix(), two.prefix()), ("one", "two"));
    store.save_agent_state(&agent("none")).await?;
    one.save_agent_state(&agent("one")).await?;
    two.save_agent_state(&agent("two")).await?;
    assert_eq!(store.list_agents().await?, [agent("none")]);
    assert_eq!(one.list_agents().await?, [agent("one")]);
    assert_eq!(two.list_agents().await?, [agent("two")]);
    assert_eq!(two.with_prefix("").list_agents().await?, [agent("none")]);
    assert_eq!(
        two.try_with_prefix("one")?.list_agents().await?,
        [agent("one")]
    );
    assert_eq!(two.clone().prefix(), "two");
    // Stores that were opened apart meet in the file.
    let apart = SqliteStateStore::open(store.path(), StoreOptions::default()).await?;
    assert_eq!(
        apart.with_prefix("two").list_agents().await?,
        [agent("two")]
    );
    Ok(())
}

#[tokio::test]
async fn prefixes_are_compared_byte_by_byte() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let longest = "p".repeat(255);
        let prefixes = [
            "", "a", "A", "a ", " a", "a:", "a%", "n", "\u{e9}", "e\u{301}", "'", "\"", "*",
            &longest,
        ];
        for prefix in prefixes {
            let store = store.with_prefix(prefix);
            store.save_agent_state(&agent("x")).await?;
            store.save_event(&event("word")).await?;
        }
        for prefix in prefixes {
            let store = store.with_prefix(prefix);
            assert_eq!(store.list_agents().await?.len(), 1, "{prefix:?}");
            assert_eq!(store.search_events("word").await?.len(), 1, "{prefix:?}");
            // Not even who knows how the index spells a prefix finds another's.
            assert_eq!(store.search_events("n61 word").await?, [], "{prefix:?}");
            assert_eq!(dump(&store, Some(prefix)).await?.len(), 2, "{prefix:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_illegal_prefix_is_said_at_once_where_it_is_asked() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        for prefix in [
            "\0".to_owned(),
            "a\0b".to_owned(),
            "x".repeat(256),
            "\u{1f980}".repeat(64),
        ] {
            let result = store.try_with_prefix(&prefix).map(drop);
            assert!(
                matches!(
                    result,
                    Err(StateStoreError::InvalidInput {
                        field: "prefix",
                        ..
                    })
                ),
                "{result:?}"
            );
        }
        assert_eq!(store.try_with_prefix(&"x".repeat(255))?.prefix().len(), 255);
        // A legal one makes a handle of an illegal one whole again.
        let mended = store.with_prefix("\0").with_prefix("fine");
        mended.save_agent_state(&agent("a")).await?;
        assert_eq!(mended.list_agents().await?.len(), 1);
    }
    Ok(())
}
