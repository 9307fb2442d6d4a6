//! Bulk append: all or none, in order, and on real input.

use descartes_state::{
    AppendOptions, Event, EventFilter, PageRequest, SqliteStateStore, StateStoreError,
    StoreOptions, page::Order,
};

use descartes_state_testing::{Place, TestResult, dump, event, real_events};

fn batch(size: usize) -> Vec<Event> {
    (0..size)
        .map(|number| event(&format!("number {number}")))
        .collect()
}

#[tokio::test]
async fn a_batch_is_appended_in_its_order() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let events = batch(300);
        let numbers = store.events().append_all(&events).await?;
        assert!(numbers.is_sorted_by(|one, other| one < other));
        let page = PageRequest::new(1_000).order(Order::Ascending);
        let rows = store
            .events()
            .list(&EventFilter::default(), &page)
            .await?
            .items;
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), numbers);
        assert_eq!(
            rows.into_iter().map(|row| row.event).collect::<Vec<_>>(),
            events
        );
        assert_eq!(store.search_events("299").await?, events[299..]);
        assert_eq!(store.events().append_all(&[]).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn one_bad_event_keeps_the_whole_batch_out() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let stored = event("stored");
        store.save_event(&stored).await?;
        let bad = [
            Event {
                session_id: String::new(),
                ..event("bad")
            },
            // Only the database can tell this one, after the others were inserted.
            Event {
                content: "conflicting".to_owned(),
                ..stored
            },
        ];
        for bad in bad {
            let before = dump(&store, None).await?;
            let mut events = batch(20);
            events.insert(10, bad);
            let refused = store.events().append_all(&events).await;
            assert!(
                matches!(
                    refused,
                    Err(StateStoreError::InvalidInput { .. } | StateStoreError::Conflict { .. })
                ),
                "{refused:?}"
            );
            assert_eq!(dump(&store, None).await?, before);
            assert_eq!(store.search_events("number").await?, []);
            // Beside an append of somebody else, which may share its commit.
            let (handle, good) = (store.events(), event("neighbour"));
            let (refused, saved) =
                tokio::join!(handle.append_all(&events), store.save_event(&good));
            saved?;
            assert!(refused.is_err());
            assert_eq!(dump(&store, None).await?.len(), before.len() + 1);
            assert_eq!(store.search_events("number").await?, []);
            assert!(store.search_events("neighbour").await?.contains(&good));
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_event_twice_in_a_batch_is_one_row() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let mut events = batch(3);
        events.push(events[0].clone());
        let numbers = store.events().append_all(&events).await?;
        assert_eq!(numbers[3], numbers[0]);
        assert_eq!(store.events().append_all(&events).await?, numbers);
        assert_eq!(store.events().count(&EventFilter::default()).await?, 3);
    }
    Ok(())
}

#[tokio::test]
async fn each_event_of_many_has_its_own_options() -> TestResult {
    for store in Place::everywhere(StoreOptions::default()).await {
        let [mut priced, mut drawn, plain] = ["word priced", "word drawn", "word plain"].map(event);
        (priced.metadata, drawn.metadata) = (None, None);
        let text = r#"{"price": 1.10}"#;
        let events = [
            (&priced, AppendOptions::default().metadata_text(text)),
            (&drawn, AppendOptions::default().searchable(false)),
            (&plain, AppendOptions::default()),
        ];
        let handle = store.events();
        let numbers = handle.append_all_with(&events).await?;
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert_eq!(handle.append_all_with(&events).await?, numbers);

        let kept = handle.get(&priced.id).await?.ok_or("it was appended")?;
        assert_eq!(kept.metadata_text.as_deref(), Some(text));
        let hits = store.search_events("word").await?;
        let hits: Vec<_> = hits.iter().map(|event| &*event.content).collect();
        assert_eq!(hits, ["word plain", "word priced"]);
        let kept = handle.get(&drawn.id).await?.ok_or("it was appended")?;
        assert_eq!(kept.event, drawn);

        // One id twice: the same is one row, and something else a conflict.
        let (new, other) = (
            event("word new"),
            Event {
                content: "other".into(),
                ..plain.clone()
            },
        );
        let usual = AppendOptions::default();
        let numbers = handle
            .append_all_with(&[(&new, usual), (&new, usual)])
            .await?;
        assert_eq!(numbers[0], numbers[1]);
        let refused = handle
            .append_all_with(&[(&event("word lost"), usual), (&other, usual)])
            .await;
        assert!(
            matches!(refused, Err(StateStoreError::Conflict { .. })),
            "{refused:?}"
        );

        // All or none.
        let more = event("word more");
        let refused = [
            (&more, AppendOptions::default()),
            (&plain, AppendOptions::default().metadata_text(text)),
        ];
        let refused = handle.append_all_with(&refused).await;
        assert!(
            matches!(refused, Err(StateStoreError::InvalidInput { .. })),
            "{refused:?}"
        );
        assert_eq!(handle.count(&EventFilter::default()).await?, 4);
    }
    Ok(())
}

#[tokio::test]
async fn real_runs_are_kept_whole_and_found_by_their_words() -> TestResult {
    let events = real_events()?.unwrap_or_else(|| {
        println!("../shared/data/agent-runs.jsonl is not here: this test makes its own input");
        batch(2_734)
    });
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("runs.db");
    let store = SqliteStateStore::open(&path, StoreOptions::default()).await?;
    store.initialize().await?;
    for part in events.chunks(256) {
        store.events().append_all(part).await?;
    }
    store.close().await?;

    let store = SqliteStateStore::open(&path, StoreOptions::default()).await?;
    let mut kept = Vec::new();
    let mut request = PageRequest::new(500).order(Order::Ascending);
    loop {
        let page = store
            .events()
            .list(&EventFilter::default(), &request)
            .await?;
        kept.extend(page.items.into_iter().map(|row| row.event));
        let Some(next) = page.next else { break };
        request = request.after(next);
    }
    assert_eq!(kept.len(), 2_734);
    assert!(kept == events, "an event came back changed");
    // Each is found by the words of its own content, whatever stands between them.
    for event in events.iter().step_by(40) {
        let words: Vec<_> = event.content.split_whitespace().take(12).collect();
        let words = words.join(" ");
        if words
            .chars()
            .any(|character| character.is_ascii_alphanumeric())
        {
            let found = store.search_events(&words).await?;
            assert!(found.contains(event), "{words:?}");
        }
    }
    Ok(())
}
