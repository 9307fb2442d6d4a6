//! Events that the index doesn't hold yet, as those that another program appends: found as the index will find them.

use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_query;
use descartes_state::diesel::sql_types::Text;
use descartes_state::page::Order;
use descartes_state::{EventFilter, PageRequest, SqliteStateStore};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use descartes_state_testing::{
    TestResult, connect_patiently, event, for_all, unindexed, until_indexed,
};

/// Appends as a program does that knows nothing of the index.
fn append_elsewhere(store: &SqliteStateStore, prefix: &str, contents: &[String]) {
    let mut other = connect_patiently(store.path());
    for content in contents {
        sql_query(
            "INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at)
             VALUES (?, lower(hex(randomblob(4))) || '-0000-7000-8000-' || lower(hex(randomblob(6))), 'note', 1, 's', 'agent', 'a', ?, 1, 1)",
        )
        .bind::<Text, _>(prefix)
        .bind::<Text, _>(content)
        .execute(&mut other)
        .unwrap();
    }
}

fn waiting(store: &SqliteStateStore) -> i64 {
    unindexed(&mut connect_patiently(store.path()))
}

/// Returns what a search finds, page by page, in both orders.
async fn found(store: &SqliteStateStore, text: &str, is_whole: bool) -> Vec<i64> {
    let all = EventFilter::default();
    let mut found = Vec::new();
    for order in [Order::Descending, Order::Ascending] {
        let mut page = PageRequest::new(3).order(order);
        loop {
            let events = store.events();
            let hits = match is_whole {
                true => events.search(text, &all, &page).await.unwrap(),
                false => events.search_beginnings(text, &all, &page).await.unwrap(),
            };
            found.extend(hits.items.iter().map(|record| record.seq.get()));
            match hits.next {
                Some(next) => page = PageRequest::new(3).order(order).after(next),
                None => break,
            }
        }
    }
    found
}

/// What events hold and searches ask for: scripts, cases, accents, JSON, symbols, and what means something to FTS5.
fn any_words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "task",
        "TASK",
        "tasks",
        "it's",
        "a-b",
        "café",
        "cafe",
        "CAFÉ",
        "项目评审",
        "项目",
        "サーバー",
        "Größe",
        "große",
        "✅",
        "🚀",
        "\"",
        "AND",
        "NOT",
        "*",
        "^",
        "content",
        "n",
        "{\"text\":\"one\\ntwo\"}",
        "one",
        "İstanbul",
        "istanbul",
        "ﬁle",
        "file",
        "42",
        "\u{fffd}",
        "\0",
        "(",
    ]);
    prop::collection::vec(word, 1..4).prop_map(|words| words.join(" "))
}

/// One case: the same is found before the index holds it and afterwards.
async fn is_found_alike(contents: &[String], text: &str, is_whole: bool) -> TestCaseResult {
    let store = SqliteStateStore::temporary().await.unwrap();
    store.events().append(&event(&contents[0])).await.unwrap();
    until_indexed(&store).await;
    append_elsewhere(&store, "", contents);
    append_elsewhere(&store, "other", contents);
    let rows = 2 * i64::try_from(contents.len()).unwrap();
    prop_assert_eq!(waiting(&store), rows);
    let before = found(&store, text, is_whole).await;
    // The search wrote nothing.
    prop_assert_eq!(waiting(&store), rows);
    // An append brings the index up to date.
    store.events().append(&event("")).await.unwrap();
    until_indexed(&store).await;
    prop_assert_eq!(before, found(&store, text, is_whole).await);
    Ok(())
}

#[tokio::test]
async fn what_is_not_indexed_yet_is_found_as_the_index_finds_it() -> TestResult {
    let runtime = tokio::runtime::Handle::current();
    let inputs = || {
        let contents = prop::collection::vec(any_words(), 1..12);
        (contents, any_words(), any::<bool>())
    };
    for_all(60, inputs, move |(contents, text, is_whole)| {
        runtime.block_on(is_found_alike(&contents, &text, is_whole))
    })
    .await
}

#[tokio::test]
async fn a_closure_finds_what_it_has_appended_and_writes_no_index() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    store.events().append(&event("old words")).await?;
    let numbers = store
        .transact(|tx| {
            tx.events().append(&event("new words"))?;
            let all = EventFilter::default();
            let hits = tx.events().search("words", &all, &PageRequest::new(10))?;
            Ok(hits
                .items
                .iter()
                .map(|record| record.seq.get())
                .collect::<Vec<_>>())
        })
        .await?;
    assert_eq!(numbers, [2, 1]);
    Ok(())
}
