//! A reader that follows by cursor passes over no row, though numbers are drawn before they are committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::page::Order;
use descartes_state::{EventFilter, PageRequest, StoreOptions};
use descartes_state_testing::{event, numbered_event, soon};

use crate::{open, open_with};

/// Writers that stall between drawing a number and the commit.
const WRITERS: usize = 32;
/// Rows of each: `DESCARTES_STATE_ROWS`, 3125 for 100,000.
const ROWS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_misses_no_row_of_writers_that_stall_before_their_commit() {
    let options = StoreOptions::default().readers(WRITERS + 4);
    let Some((_schema, store)) = open_with(options).await else {
        return;
    };
    let rows = std::env::var("DESCARTES_STATE_ROWS").map_or(ROWS, |rows| rows.parse().unwrap());
    let working = Arc::new(AtomicUsize::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, working) = (store.clone(), Arc::clone(&working));
            tokio::spawn(async move {
                for number in 0..rows {
                    let event = numbered_event((writer * rows + number) as u128, "one of many");
                    // Some wait for longer than others.
                    let stall = (writer * 7 + number * 13) % 11;
                    store
                        .transact(move |tx| {
                            tx.events().append(&event)?;
                            let sleep = format!("SELECT pg_sleep({})", stall as f64 / 5000.0);
                            tx.postgres()?.batch_execute(&sleep)?;
                            Ok(())
                        })
                        .await
                        .unwrap();
                }
                working.fetch_sub(1, Ordering::Release);
            })
        })
        .collect();
    let follower = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            let mut page = PageRequest::new(50).order(Order::Ascending);
            loop {
                let is_over = working.load(Ordering::Acquire) == 0;
                let found = store.events().list(&EventFilter::default(), &page).await;
                let found = found.unwrap();
                let is_empty = found.items.is_empty();
                seen.extend(found.items.into_iter().map(|record| record.seq.get()));
                if let Some(end) = found.end {
                    page = PageRequest::new(50).order(Order::Ascending).after(end);
                }
                if is_over && is_empty {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    let seen = soon(follower).await.unwrap();
    assert!(seen.is_sorted());
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!(
        (seen.len(), distinct.len()),
        (WRITERS * rows, WRITERS * rows)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oldest_first_stops_below_what_is_not_committed_and_newest_first_does_not() {
    let Some((schema, store)) = open().await else {
        return;
    };
    store.save_event(&numbered_event(1, "first")).await.unwrap();
    let mut other = schema.connect();
    // By SQL alone: the column's default tells the followers too.
    other
        .batch_execute(
            "BEGIN; INSERT INTO events (id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at)
             VALUES ('00000000-0000-7000-8000-00000000ffff', 'note', 1, 's', 'user', 'u', 'second', 1, 1)",
        )
        .unwrap();
    store.save_event(&numbered_event(3, "third")).await.unwrap();
    let contents = async |page: PageRequest| -> Vec<String> {
        let found = store.events().list(&EventFilter::default(), &page).await;
        let items = found.unwrap().items.into_iter();
        items.map(|record| record.event.content).collect()
    };
    let oldest = PageRequest::new(10).order(Order::Ascending);
    assert_eq!(contents(oldest.clone()).await, ["first"]);
    assert_eq!(contents(PageRequest::new(10)).await, ["third", "first"]);
    let within = store
        .read(|tx| {
            let page = PageRequest::new(10).order(Order::Ascending);
            let found = tx.events().list(&EventFilter::default(), &page)?;
            Ok(found.items.len())
        })
        .await;
    assert_eq!(within.unwrap(), 1);
    other.batch_execute("COMMIT").unwrap();
    assert_eq!(contents(oldest).await, ["first", "second", "third"]);
    // It has no words of the store's, and is found.
    assert_eq!(store.search_events("second").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_transaction_sees_its_own_rows_in_either_order() {
    let Some((_schema, store)) = open().await else {
        return;
    };
    let seen = store
        .transact(|tx| {
            tx.events().append(&event("mine"))?;
            let page = PageRequest::new(10).order(Order::Ascending);
            let found = tx.events().list(&EventFilter::default(), &page)?;
            Ok(found.items.len())
        })
        .await;
    assert_eq!(seen.unwrap(), 1);
}
