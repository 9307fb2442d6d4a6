//! What is found: scripts without spaces, JSON, terminal output, symbols, beginnings of words.

use descartes_state::{AppendOptions, EventFilter, PageRequest, SqliteStateStore};

use proptest::prop_assert;

use descartes_state_testing::{TestResult, any_text, connect_patiently, event, for_all, number};

/// What is said, and what finds it.
const FOUND: &[(&str, &[&str])] = &[
    (
        "明天下午三点开项目评审会议",
        &["项目", "评审会议", "明天", "开项目评"],
    ),
    ("サーバーを再起動しました", &["サーバー", "再起動", "ｻｰﾊﾞｰ"]),
    ("서버를 재시작했습니다", &["서버", "재시작", "서버를"]),
    ("เซิร์ฟเวอร์หยุดทำงานแล้ว", &["หยุดทำงาน", "เซิร์ฟเวอร์"]),
    ("ພາສາລາວ ភាសាខ្មែរ မြန်မာဘာသာ", &["ລາວ", "ខ្មែរ", "ဘာသာ"]),
    (
        "部署youer服务端v2完成",
        &["youer服务端", "服务端", "youer", "v2", "完成"],
    ),
    (
        r#"{"text":"one\ntwo caf\u00e9","n":42}"#,
        &["one", "two", "café", "cafe", "text", "42"],
    ),
    (
        r#"tool said {"args":"{\"cmd\":\"ls\\nrm\"}"} at once"#,
        &["ls", "rm", "cmd", "said", "once"],
    ),
    (
        "\x1b[31merror\x1b[0m: \x1b]8;;https://x.org\x1b\\link\x1b]8;;\x1b\\ \x1b(Bplain",
        &["error", "link", "plain"],
    ),
    ("50%\x1b[Kdone now", &["done", "now"]),
    ("par\x1b[1mtial\x1b[0m", &["partial", "par", "tial"]),
    (
        "deployed✅🚀 at last 👨‍👩‍👧",
        &["✅", "🚀", "deployed", "👧", "👨‍👩‍👧"],
    ),
    (
        "Größe naïve Привет Ελλάδα हिन्दी مرحبا שלום",
        &[
            "große größe",
            "naive",
            "привет",
            "ελλάδα",
            "हिन्दी",
            "مرحبا",
            "שלום",
        ],
    ),
    ("━━━━━ 40/100 eta⠋soon", &["40", "eta", "soon"]),
];

/// What is said, and what doesn't find it.
const NOT_FOUND: &[(&str, &[&str])] = &[
    ("明天下午三点开项目评审会议", &["目项", "今天"]),
    ("youer 和 服务端", &["youer服务端"]),
    ("\x1b[31merror\x1b[0m", &["31merror", "0m"]),
    (r#"{"text":"one\ntwo"}"#, &["ntwo"]),
    ("━━━━━ ⠋⠙", &["━━━━━", "⠋⠙"]),
];

async fn hits(store: &SqliteStateStore, text: &str) -> TestResultOf<usize> {
    let page = PageRequest::new(10);
    Ok(store
        .events()
        .search(text, &EventFilter::default(), &page)
        .await?
        .items
        .len())
}

type TestResultOf<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::test]
async fn what_a_person_sees_in_a_text_is_found() -> TestResult {
    for (said, wanted) in FOUND {
        let store = SqliteStateStore::temporary().await?;
        store.events().append(&event(said)).await?;
        for text in *wanted {
            assert_eq!(hits(&store, text).await?, 1, "{text:?} in {said:?}");
        }
        store.events().check_search().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_nobody_sees_there_is_not_found() -> TestResult {
    for (said, wanted) in NOT_FOUND {
        let store = SqliteStateStore::temporary().await?;
        store.events().append(&event(said)).await?;
        for text in *wanted {
            assert_eq!(hits(&store, text).await?, 0, "{text:?} in {said:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_beginnings_of_words_find_them_only_where_they_are_asked_for() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    store
        .events()
        .append(&event("The deployment is complete 项目"))
        .await?;
    let page = PageRequest::new(10);
    for (text, beginnings) in [
        ("dep comp", 1),
        ("ployment", 0),
        ("项", 1),
        ("deployments", 0),
        ("the d", 1),
    ] {
        let events = store.events();
        let filter = EventFilter::default();
        let found = events.search_beginnings(text, &filter, &page).await?;
        assert_eq!(found.items.len(), beginnings, "{text}");
    }
    assert_eq!(hits(&store, "dep comp").await?, 0);
    Ok(())
}

#[tokio::test]
async fn any_text_is_searched_for_without_an_error() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let runtime = tokio::runtime::Handle::current();
    for_all(300, any_text, move |text| {
        let page = PageRequest::new(1);
        let filter = EventFilter::default();
        let events = store.events();
        let found = runtime.block_on(events.search(&text, &filter, &page));
        let begun = runtime.block_on(events.search_beginnings(&text, &filter, &page));
        prop_assert!(found.is_ok(), "{text:?}: {found:?}");
        prop_assert!(begun.is_ok(), "{text:?}: {begun:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_text_is_stored_as_it_is_and_a_second_time_only_where_its_words_differ() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    for (said, twice) in [("plain words", 0), ("Größe", 0), ("项目", 1)] {
        let said = event(said);
        store.events().append(&said).await?;
        assert_eq!(store.events().get(&said.id).await?.unwrap().event, said);
        let mut connection = connect_patiently(store.path());
        let query = format!(
            "SELECT count(search_text) FROM events WHERE id = '{}'",
            said.id
        );
        assert_eq!(number(&mut connection, &query), twice, "{}", said.content);
    }
    Ok(())
}

#[tokio::test]
async fn purged_events_leave_the_index_whatever_their_words() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    for (said, _) in FOUND {
        store.events().append(&event(said)).await?;
    }
    let purged = store.events().purge_before(i64::MAX).await?;
    assert_eq!(purged, FOUND.len());
    store.events().check_search().await?;
    for (_, wanted) in FOUND {
        for text in *wanted {
            assert_eq!(hits(&store, text).await?, 0, "{text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_appended_not_to_be_found_is_not_also_once_the_index_is_made_again() -> TestResult {
    let store = SqliteStateStore::temporary().await?;
    let hidden = AppendOptions::default().searchable(false);
    store
        .events()
        .append_with(&event("zebra drawn"), hidden)
        .await?;
    let seen = AppendOptions::default();
    store
        .events()
        .append_with(&event("zebra said"), seen)
        .await?;
    for _ in 0..2 {
        let found = store
            .events()
            .search("zebra", &EventFilter::default(), &PageRequest::new(10))
            .await?;
        let contents: Vec<&str> = found
            .items
            .iter()
            .map(|event| event.event.content.as_str())
            .collect();
        assert_eq!(contents, ["zebra said"]);
        store.events().check_search().await?;
        store.events().rebuild_search().await?;
    }
    assert_eq!(store.events().count(&EventFilter::default()).await?, 2);
    Ok(())
}
