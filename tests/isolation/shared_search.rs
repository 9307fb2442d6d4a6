//! Search in a file of one namespace, and of several: what is found never depends on who else is there.

use descartes_state::{Event, EventFilter, PageRequest, SqliteStateStore, TimeRange, page::Order};
use descartes_state_testing::{numbered_event, open, quick};

async fn append(store: &SqliteStateStore, number: u128, content: &str) {
    store
        .save_event(&numbered_event(number, content))
        .await
        .unwrap();
}

/// Every way to search, as the contents that it finds.
async fn found(store: &SqliteStateStore) -> Vec<Vec<String>> {
    fn contents<'e>(events: impl Iterator<Item = &'e Event>) -> Vec<String> {
        events.map(|event| event.content.clone()).collect()
    }
    let mut all = Vec::new();
    // The last three could be taken for namespaces' own words in the index.
    for text in [
        "word",
        "word two",
        "rare",
        "nothing",
        "n",
        "n61",
        "namespace_word",
    ] {
        all.push(contents(store.search_events(text).await.unwrap().iter()));
        let inside = store.read(move |tx| {
            let (all, first) = (EventFilter::default(), PageRequest::default());
            tx.events().search(text, &all, &first)
        });
        all.push(contents(
            inside
                .await
                .unwrap()
                .items
                .iter()
                .map(|record| &record.event),
        ));
        let filters = [
            EventFilter::default().event_type("note"),
            EventFilter::default().session("elsewhere"),
            EventFilter::default().time(TimeRange::default().from(3_000)),
        ];
        for filter in filters {
            for order in [Order::Descending, Order::Ascending] {
                let mut page = PageRequest::new(2).order(order);
                let mut pages = Vec::new();
                loop {
                    let hits = store.events().search(text, &filter, &page).await.unwrap();
                    pages.extend(contents(hits.items.iter().map(|record| &record.event)));
                    let Some(next) = hits.next else { break };
                    page = PageRequest::new(2).order(order).after(next);
                }
                all.push(pages);
            }
        }
    }
    all
}

#[tokio::test]
async fn what_a_namespace_finds_does_not_depend_on_others() {
    // Below, above and around the others in order; `n` and hex digits are what the index calls namespaces by.
    for own in ["", "a", "m", "n61", "zz"] {
        let (_directory, store) = open(quick()).await;
        let mine = store.with_prefix(own);
        for (number, content) in ["word one", "word two", "rare word", "n n61", "two"]
            .into_iter()
            .enumerate()
        {
            append(&mine, number as u128, content).await;
        }
        let alone = found(&mine).await;
        assert_eq!(alone[0], ["rare word", "word two", "word one"], "{own:?}");
        assert_eq!(found(&mine).await, alone);

        // Others come between two searches, one after the other, with the same ids and words.
        for other in ["b", "", "zzz", "A", "n61"] {
            if other == own {
                continue;
            }
            let theirs = store.with_prefix(other);
            assert!(theirs.search_events("word").await.unwrap().is_empty());
            append(&theirs, 1, &format!("word two rare of {other}")).await;
            assert_eq!(found(&mine).await, alone, "{own:?} beside {other:?}");
            let hits = theirs.search_events("word").await.unwrap();
            assert_eq!(hits.len(), 1, "{other:?} beside {own:?}");
        }
        // One that has no events at all.
        let empty = store.with_prefix("empty");
        assert!(empty.search_events("word").await.unwrap().is_empty());

        // And they go again, till the namespace is alone as before.
        for other in ["b", "", "zzz", "A", "n61"] {
            if other == own {
                continue;
            }
            let theirs = store.with_prefix(other);
            assert_eq!(theirs.events().purge_before(i64::MAX).await.unwrap(), 1);
            assert!(theirs.search_events("word").await.unwrap().is_empty());
            assert_eq!(found(&mine).await, alone, "{own:?} without {other:?}");
        }
        append(&mine, 100, "word last").await;
        assert_eq!(mine.search_events("word").await.unwrap().len(), 4);
    }
}

#[tokio::test]
async fn a_closure_finds_its_own_events_and_nobody_elses() {
    let (_directory, store) = open(quick()).await;
    append(&store, 1, "word before").await;
    for other in ["tenant", "another"] {
        let theirs = store.with_prefix(other);
        // The first event of a namespace, found in the transaction that appends it.
        let hits = theirs.transact(|tx| {
            tx.events().append(&numbered_event(2, "word inside"))?;
            let (all, first) = (EventFilter::default(), PageRequest::default());
            tx.events().search("word", &all, &first)
        });
        let hits = hits.await.unwrap().items;
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].event.content, "word inside");
        assert_eq!(store.search_events("word").await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_namespace_that_was_alone_and_is_purged_leaves_the_next_one_whole() {
    let (_directory, store) = open(quick()).await;
    let (first, second) = (store.with_prefix("first"), store.with_prefix("second"));
    for number in 0..50 {
        append(&first, number, "word").await;
    }
    assert_eq!(first.search_events("word").await.unwrap().len(), 50);
    assert_eq!(first.events().purge_before(i64::MAX).await.unwrap(), 50);
    // The highest sequence numbers are gone from the index, too: what comes next is indexed all the same.
    for number in 0..3 {
        append(&second, number, "word").await;
    }
    assert!(first.search_events("word").await.unwrap().is_empty());
    assert_eq!(second.search_events("word").await.unwrap().len(), 3);
}
