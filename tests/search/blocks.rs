//! When events are indexed: in blocks, at rest, before closing, and where a search finds many that wait.

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{EventFilter, PageRequest};

use descartes_state_testing::{
    HeldWriter, TestResult, assert_index_is_whole, connect_patiently, event, number, open, open_in,
    quick, unindexed, until_indexed,
};

#[tokio::test]
async fn what_was_appended_last_is_indexed_at_rest() -> TestResult {
    let (_directory, store) = open(quick()).await;
    for round in 0..3 {
        store.events().append(&event("words")).await?;
        until_indexed(&store).await;
        assert_eq!(store.search_events("words").await?.len(), round + 1);
    }
    assert_index_is_whole(&mut connect_patiently(store.path()));
    Ok(())
}

#[tokio::test]
async fn closing_indexes_what_waits() -> TestResult {
    let (directory, store) = open(quick()).await;
    for _ in 0..300 {
        store.events().append(&event("words")).await?;
    }
    store.close().await?;
    let mut connection = connect_patiently(&directory.path().join("state.db"));
    assert_eq!(unindexed(&mut connection), 0);
    assert_index_is_whole(&mut connection);
    Ok(())
}

#[tokio::test]
async fn events_that_only_a_closures_connection_wrote_are_indexed_too() -> TestResult {
    let (_directory, store) = open(quick()).await;
    let rows = "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 500)
        INSERT INTO events (id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at)
        SELECT printf('00000000-0000-7000-8000-%012d', number), 'note', 1, 's', 'agent', 'a', 'words', 1, 1 FROM numbers";
    store
        .transact(move |tx| Ok(tx.sqlite()?.batch_execute(rows)?))
        .await?;
    until_indexed(&store).await;
    assert_eq!(store.search_events("words").await?.len(), 500);
    Ok(())
}

/// As where another program stopped before it indexed what it had appended.
#[tokio::test]
async fn a_search_that_finds_many_events_waiting_has_them_indexed() -> TestResult {
    let (directory, store) = open(quick()).await;
    let many: Vec<_> = (0..2_000).map(|_| event("words")).collect();
    store.events().append_all(&many).await?;
    store.close().await?;
    let mut other = connect_patiently(&directory.path().join("state.db"));
    other.batch_execute("INSERT INTO events_search (events_search) VALUES ('delete-all')")?;
    assert_eq!(unindexed(&mut other), 2_000);
    let store = open_in(&directory, quick()).await;
    let all = EventFilter::default();
    let page = PageRequest::new(100);
    assert!(
        store
            .events()
            .search("none", &all, &page)
            .await?
            .items
            .is_empty()
    );
    until_indexed(&store).await;
    assert_index_is_whole(&mut other);
    Ok(())
}

#[tokio::test]
async fn a_search_waits_for_no_writer_however_much_waits_to_be_indexed() -> TestResult {
    let (_directory, store) = open(quick()).await;
    let many: Vec<_> = (0..1_000).map(|_| event("words")).collect();
    store.events().append_all(&many).await?;
    let held = HeldWriter::new(&store).await;
    assert_eq!(store.search_events("words").await?.len(), 1_000);
    held.release().await;
    until_indexed(&store).await;
    Ok(())
}

/// FTS5 fails a commit at 2,000 segments as "database or disk is full", and where it merges late it merges all at once: that
/// it merges a little with each block keeps both away (<https://www.sqlite.org/fts5.html>, sections 6.1 and 6.4).
#[tokio::test]
async fn however_many_blocks_are_indexed_few_segments_are_left() -> TestResult {
    // As the store's own blocks, which rest between.
    const APPEND: &str = "INSERT INTO events
        (id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at)
        VALUES (lower(hex(randomblob(16))), 'note', 1, 's', 'agent', 'a', 'some words of ' || random(), 1, 1);";
    const INDEX: &str = "INSERT INTO events_search (rowid, namespace_word, content)
        SELECT seq, namespace_word, content FROM events_search_source
        WHERE seq > (SELECT coalesce(max(id), 0) FROM events_search_docsize);";
    let (_directory, store) = open(quick()).await;
    let mut connection = connect_patiently(store.path());
    connection.batch_execute("PRAGMA synchronous = OFF;")?;
    let mut most = 0;
    for block in 0..3_000 {
        let appends = APPEND.repeat(1 + block % 3);
        connection.batch_execute(&format!("BEGIN IMMEDIATE; {appends} {INDEX} COMMIT;"))?;
        let segments = "SELECT count(DISTINCT segid) FROM events_search_idx";
        most = most.max(number(&mut connection, segments));
    }
    // 33 where nothing is merged before a level is full.
    assert!((1..=28).contains(&most), "{most}");
    Ok(())
}
