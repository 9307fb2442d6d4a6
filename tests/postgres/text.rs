//! What PostgreSQL can't keep is refused, and what it can comes back.

use descartes_state::{StateStoreError, StoreOptions};
use descartes_state_testing::{agent, event};

use crate::{open, open_with};

#[tokio::test]
async fn a_nul_character_is_refused_where_it_cannot_be_kept_and_kept_in_a_state() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let mut state = agent("a");
    state.state_data = "a\0b".into();
    store.save_agent_state(&state).await.unwrap();
    let loaded = store.load_agent_state("a").await.unwrap().unwrap();
    assert_eq!(loaded.state_data, "a\0b");
    state.name = "\0".into();
    let refused = store.save_agent_state(&state).await;
    assert!(matches!(
        refused,
        Err(StateStoreError::InvalidInput { field: "name", .. })
    ));
    let refused = store.save_event(&event("a\0b")).await;
    assert!(matches!(
        refused,
        Err(StateStoreError::InvalidInput {
            field: "content",
            ..
        })
    ));
}

#[tokio::test]
async fn a_text_with_an_escaped_nul_character_is_kept_and_found() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let content = r#"{"a":"left\u0000right","b":"\"x\\u0000y\""}"#;
    let saved = event(content);
    store.save_event(&saved).await.unwrap();
    for word in ["left", "right", "y"] {
        let found = store.search_events(word).await.unwrap();
        assert_eq!(found.len(), 1, "{word}");
        assert_eq!(found[0].content, content);
    }
}

#[tokio::test]
async fn a_compressed_state_comes_back() {
    let options = StoreOptions::default()
        .compression(true)
        .compression_threshold(0);
    let Some((_schema, store)) = open_with(options).await else {
        return;
    };
    let mut state = agent("a");
    state.state_data = "once more ".repeat(1000);
    store.save_agent_state(&state).await.unwrap();
    let record = store.agents().get("a").await.unwrap().unwrap();
    assert_eq!(record.codec, descartes_state::Codec::Zstd);
    assert_eq!(record.state.state_data, state.state_data);
}

#[tokio::test]
async fn words_phrases_and_beginnings_are_found_as_on_sqlite() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let sqlite = descartes_state::SqliteStateStore::temporary()
        .await
        .unwrap();
    let long = "x".repeat(300);
    let contents = [
        "it's done".to_owned(),
        "s it is done".to_owned(),
        "项目 完成".to_owned(),
        "完成项目".to_owned(),
        "C++ and café".to_owned(),
        "naïve CAFE".to_owned(),
        format!("{long}a end"),
        format!("{long}b end"),
        "path/to/file.rs:12".to_owned(),
        "quote ' and \\ slash".to_owned(),
        "🦀 crab".to_owned(),
    ];
    for (number, content) in contents.iter().enumerate() {
        let event = descartes_state_testing::numbered_event(number as u128, content);
        store.save_event(&event).await.unwrap();
        sqlite.save_event(&event).await.unwrap();
    }
    let searched = [
        "it's",
        "done",
        "项目",
        "项",
        "café",
        "cafe",
        "C++",
        "file.rs",
        "quote '",
        "\\",
        "🦀",
        "s it",
        "end",
        "nothing",
        "path to",
        &format!("{long}a"),
        &long,
        "to/file",
    ];
    for text in searched {
        let found = |events: Vec<descartes_state::Event>| -> Vec<String> {
            events.into_iter().map(|event| event.content).collect()
        };
        let here = found(store.search_events(text).await.unwrap());
        let there = found(sqlite.search_events(text).await.unwrap());
        assert_eq!(here, there, "{text}");
        let filter = descartes_state::EventFilter::default();
        let page = descartes_state::PageRequest::new(10);
        let here = store.events().search_beginnings(text, &filter, &page).await;
        let there = sqlite
            .events()
            .search_beginnings(text, &filter, &page)
            .await;
        let of = |page: descartes_state::Page<descartes_state::EventRecord>| {
            found(page.items.into_iter().map(|record| record.event).collect())
        };
        assert_eq!(of(here.unwrap()), of(there.unwrap()), "{text}*");
    }
    store.events().rebuild_search().await.unwrap();
    assert_eq!(store.search_events("done").await.unwrap().len(), 2);
}
