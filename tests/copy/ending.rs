//! Copies that end early, and copies of a store that is written to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use descartes_state::{CopyOptions, EventFilter, StateStoreError, copy_store};
use descartes_state_testing::{agent, event, numbered_event, soon};
use tokio::sync::Notify;

use crate::{copied, everything, in_file, pairs};

const EVENTS: usize = 3000;

async fn fill(store: &descartes_state::AnyStateStore) {
    let events: Vec<_> = (0..EVENTS)
        .map(|number| numbered_event(number as u128, &format!("number {number}")))
        .collect();
    store.events().append_all(&events).await.unwrap();
    store.save_agent_state(&agent("agent")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_dropped_goes_on_where_it_was() {
    for (from, to) in pairs().await {
        fill(&from).await;
        let some_are_there = Arc::new(Notify::new());
        let options = {
            let some_are_there = Arc::clone(&some_are_there);
            CopyOptions::default().on_progress(move |progress| {
                if progress.rows > 1000 {
                    some_are_there.notify_one();
                }
            })
        };
        tokio::select! {
            biased;
            () = some_are_there.notified() => {}
            _ = copy_store(&from, &to, options) => {}
        }
        let left = to.events().count(&EventFilter::default()).await;
        let left = u64::try_from(left.unwrap()).unwrap();
        assert!(left > 1000);
        // What the first was writing when it was dropped may come in between.
        let report = loop {
            match soon(copy_store(&from, &to, CopyOptions::default())).await {
                Err(StateStoreError::NotACopy { .. }) => tokio::task::yield_now().await,
                report => break report.unwrap(),
            }
        };
        let (rows, new) = copied(&report, "events");
        assert_eq!(rows, EVENTS as u64);
        assert!(new <= rows - left, "{new} {left}");
        assert_eq!(everything(&to, "").await, everything(&from, "").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_dropped_while_it_compares_reads_no_further() {
    for (from, to) in pairs().await {
        fill(&from).await;
        let (compared, goes_on) = (Arc::new(Notify::new()), Arc::new(Barrier::new(2)));
        let parts = Arc::new(AtomicU64::new(0));
        let options = {
            let (compared, goes_on) = (Arc::clone(&compared), Arc::clone(&goes_on));
            let parts = Arc::clone(&parts);
            CopyOptions::default().on_progress(move |progress| {
                if progress.is_verifying && parts.fetch_add(1, Ordering::SeqCst) == 0 {
                    compared.notify_one();
                    goes_on.wait();
                }
            })
        };
        tokio::select! {
            biased;
            () = compared.notified() => {}
            _ = copy_store(&from, &to, options) => {}
        }
        // The copy is gone.
        goes_on.wait();
        // It waits for what is still read.
        soon(to.close()).await.unwrap();
        assert_eq!(parts.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_written_to_is_copied_as_it_was_at_one_moment() {
    for (from, to) in pairs().await {
        fill(&from).await;
        let is_over = Arc::new(AtomicU64::new(0));
        let writer = {
            let (store, is_over) = (from.store().clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut step = 0;
                while is_over.load(Ordering::Acquire) == 0 {
                    step += 1;
                    let mut state = agent("agent");
                    state.state_data = step.to_string();
                    store.save_agent_state(&state).await.unwrap();
                    store.save_event(&event(&step.to_string())).await.unwrap();
                }
                step
            })
        };
        let report = copy_store(&from, &to, CopyOptions::default()).await;
        is_over.store(1, Ordering::Release);
        assert!(writer.await.unwrap() > 0);
        let (rows, _) = copied(&report.unwrap(), "events");
        let state = to.load_agent_state("agent").await.unwrap().unwrap();
        // Each event was written behind its state: at one moment there are as many, or one less.
        let written = rows - EVENTS as u64;
        let step: u64 = state.state_data.parse().unwrap_or(0);
        assert!(step == written || step == written + 1, "{step} {written}");
    }
}

#[tokio::test]
async fn rows_of_any_size_are_copied_and_each_is_told() {
    let (from, to) = (in_file().await, in_file().await);
    for number in 0..4 {
        let content = "many words ".repeat(number * 200_000);
        from.save_event(&event(&content)).await.unwrap();
    }
    let told = Arc::new(AtomicU64::new(0));
    let options = {
        let told = Arc::clone(&told);
        CopyOptions::default().on_progress(move |progress| {
            assert!(progress.rows <= progress.total || progress.total == 0);
            if progress.is_verifying {
                told.store(progress.rows, Ordering::Release);
            }
        })
    };
    copy_store(&from, &to, options).await.unwrap();
    assert_eq!(told.load(Ordering::Acquire), 4);
    assert_eq!(everything(&to, "").await, everything(&from, "").await);
}
