//! Waiting: for one's turn, for a reader, for the lock of another process; and how long at most.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{
    AgentFilter, AgentState, Durability, EventFilter, PageRequest, Seq, SqliteStateStore,
    StateStoreError, StoreOptions, TransitionDraft,
};
use descartes_state_testing::{
    HeldWriter, agent, assert_intact, connect, count, numbered_event, numbered_task, open, open_in,
    poll_once, quick, soon,
};

#[tokio::test]
async fn readers_never_wait_for_a_writer() {
    let (_directory, store) = open(quick()).await;
    store.save_agent_state(&agent("one")).await.unwrap();
    store.save_event(&numbered_event(1, "hello")).await.unwrap();
    let lane = HeldWriter::new(&store).await;
    let first = PageRequest::default();
    for _ in 0..3 {
        assert!(soon(store.load_agent_state("one")).await.unwrap().is_some());
        assert!(
            soon(store.load_agent_state("holder"))
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(soon(store.list_agents()).await.unwrap().len(), 1);
        let page = soon(store.agents().list(&AgentFilter::default(), &first))
            .await
            .unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(soon(store.search_events("hello")).await.unwrap().len(), 1);
        assert_eq!(
            soon(store.events().count(&EventFilter::default()))
                .await
                .unwrap(),
            1
        );
        let seen = soon(store.read(|tx| tx.agents().count(&AgentFilter::default())))
            .await
            .unwrap();
        assert_eq!(seen, 1);
    }
    lane.release().await;
    assert!(store.load_agent_state("holder").await.unwrap().is_some());
}

#[tokio::test]
async fn writers_are_served_in_the_order_in_which_they_came() {
    let (_directory, store) = open(quick()).await;
    let lane = HeldWriter::new(&store).await;
    let mut calls: Vec<Pin<Box<dyn Future<Output = Seq> + Send>>> = Vec::new();
    for number in 0..600 {
        let store = store.clone();
        let draft = TransitionDraft::new("agent", "{}", number.to_string());
        let mut call: Pin<Box<dyn Future<Output = Seq> + Send>> = if number % 50 == 25 {
            Box::pin(async move {
                store
                    .transact(move |tx| tx.transitions().record(&draft))
                    .await
                    .unwrap()
            })
        } else {
            Box::pin(async move { store.transitions().record(&draft).await.unwrap() })
        };
        assert!(poll_once(call.as_mut()).is_pending());
        calls.push(call);
    }
    lane.release().await;
    let mut order = Vec::new();
    for call in calls {
        order.push(soon(call).await);
    }
    assert_eq!(order, (1..=600).map(Seq::from).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_starves_while_others_keep_writing() {
    let (_directory, store) = open(quick()).await;
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let crowd: Vec<_> = (0..16)
        .map(|number| {
            let (store, is_over) = (store.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    store
                        .save_agent_state(&agent(&number.to_string()))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for number in 0..20 {
        soon(store.transact(move |tx| tx.tasks().save(&numbered_task(number))))
            .await
            .unwrap();
        soon(store.save_event(&numbered_event(number, "in the crowd")))
            .await
            .unwrap();
        soon(store.list_agents()).await.unwrap();
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    for one in crowd {
        soon(one).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_is_queue_full_after_the_timeout_and_nothing_is_written() {
    let limit = Duration::from_millis(200);
    let (_directory, store) = open(quick().write_queue(4).acquire_timeout(limit)).await;
    let lane = HeldWriter::new(&store).await;
    // The holder's own place is taken too, until it ends.
    let mut waiting: Vec<_> = Vec::new();
    for number in 0..3 {
        let store = store.clone();
        let mut call = Box::pin(async move {
            store
                .save_agent_state(&agent(&format!("in-{number}")))
                .await
        });
        assert!(poll_once(call.as_mut()).is_pending());
        waiting.push(call);
    }
    let started = Instant::now();
    let refused = soon(store.save_agent_state(&agent("refused"))).await;
    assert!(
        matches!(
            refused,
            Err(StateStoreError::QueueFull {
                capacity: 4,
                unit: "operations"
            })
        ),
        "{refused:?}"
    );
    assert!(refused.unwrap_err().is_retryable());
    assert!(started.elapsed() >= limit);

    // One that is withdrawn leaves its place to another at once, though the lane is still held.
    drop(waiting.pop());
    let next = agent("next");
    let mut next = Box::pin(store.save_agent_state(&next));
    assert!(poll_once(next.as_mut()).is_pending());
    lane.release().await;
    soon(next).await.unwrap();
    for call in waiting {
        // They may have waited longer than they are ready to, but what they hear is true.
        let heard = soon(call).await;
        assert!(
            matches!(heard, Ok(()) | Err(StateStoreError::Timeout { .. })),
            "{heard:?}"
        );
    }
    let mut ids: Vec<_> = store
        .list_agents()
        .await
        .unwrap()
        .into_iter()
        .map(|agent| agent.agent_id)
        .collect();
    ids.retain(|id| id == "refused" || id == "in-2");
    assert!(ids.is_empty(), "{ids:?}");
}

#[tokio::test]
async fn no_more_bytes_wait_than_are_allowed() {
    let limit = Duration::from_millis(200);
    let options = quick().write_queue_bytes(1024 * 1024);
    let (_directory, store) = open(options.acquire_timeout(limit)).await;
    let of_size = |id: &str, bytes: usize| AgentState {
        state_data: "x".repeat(bytes),
        ..agent(id)
    };
    // One that is larger than all of it goes alone.
    soon(store.save_agent_state(&of_size("large", 3_000_000)))
        .await
        .unwrap();
    let lane = HeldWriter::new(&store).await;
    let save = |id: &str| {
        let (store, state) = (store.clone(), of_size(id, 400_000));
        let mut call = Box::pin(async move { store.save_agent_state(&state).await });
        assert!(poll_once(call.as_mut()).is_pending());
        call
    };
    let (first, second) = (save("first"), save("second"));
    let refused = soon(store.save_agent_state(&of_size("refused", 400_000))).await;
    assert!(
        matches!(
            refused,
            Err(StateStoreError::QueueFull {
                capacity: 1_048_576,
                unit: "bytes"
            })
        ),
        "{refused:?}"
    );
    // What is withdrawn leaves its room to another at once, though the lane is still held: to one that comes, and to one
    // that waits.
    drop(first);
    let third = save("third");
    let fourth = save("fourth");
    drop(third);
    lane.release().await;
    for call in [second, fourth] {
        // They may have waited longer than they are ready to, but what they hear is true.
        let heard = soon(call).await;
        assert!(
            matches!(heard, Ok(()) | Err(StateStoreError::Timeout { .. })),
            "{heard:?}"
        );
    }
    let agents = store.list_agents().await.unwrap();
    let is_stored = |id: &str| agents.iter().any(|agent| agent.agent_id == id);
    assert!(is_stored("large"));
    assert!(!is_stored("first") && !is_stored("refused") && !is_stored("third"));
}

#[tokio::test]
async fn a_write_that_waits_too_long_is_a_timeout_and_never_appears() {
    let limit = Duration::from_millis(100);
    let (_directory, store) = open(quick().acquire_timeout(limit)).await;
    let lane = HeldWriter::new(&store).await;
    let started = Instant::now();
    let late = soon(store.save_agent_state(&agent("late"))).await;
    assert!(
        matches!(
            late,
            Err(StateStoreError::Timeout {
                operation: "agents.save",
                ..
            })
        ),
        "{late:?}"
    );
    assert!(started.elapsed() >= limit);
    let late = soon(store.transact(|tx| tx.agents().save(&agent("late")))).await;
    assert!(
        matches!(
            late,
            Err(StateStoreError::Timeout {
                operation: "transact",
                ..
            })
        ),
        "{late:?}"
    );
    lane.release().await;
    store.save_agent_state(&agent("after")).await.unwrap();
    assert!(store.load_agent_state("late").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_write_is_visible_to_another_connection() {
    let (_directory, store) = open(quick()).await;
    let mut other = connect(store.path());
    for number in 0..50 {
        store
            .save_agent_state(&agent(&number.to_string()))
            .await
            .unwrap();
        assert_eq!(count(&mut other, "agent_states"), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_in_one_process_makes_the_database_locked() {
    // No time at all to wait for a lock: any that the process held against itself would show.
    let options = || quick().busy_timeout(Duration::ZERO).readers(4);
    let (directory, first) = open(options()).await;
    let mut stores = vec![first];
    for _ in 0..3 {
        stores.push(open_in(&directory, options()).await);
    }
    let mut workers = Vec::new();
    for worker in 0..16u128 {
        let store = stores[usize::try_from(worker % 4).unwrap()]
            .with_prefix(format!("prefix-{}", worker % 5));
        workers.push(tokio::spawn(async move {
            for round in 0..25u128 {
                let id = worker * 1_000 + round;
                store.save_agent_state(&agent(&worker.to_string())).await?;
                store.save_event(&numbered_event(id, "mixed load")).await?;
                store
                    .transact(move |tx| tx.tasks().save(&numbered_task(id)))
                    .await?;
                store.load_agent_state(&worker.to_string()).await?;
                store.search_events("mixed").await?;
                store
                    .read(|tx| tx.agents().count(&AgentFilter::default()))
                    .await?;
                if round % 8 == 0 {
                    store.migrations().preview_revert().await?;
                    store.initialize().await?;
                    store.events().purge_before(0).await?;
                }
            }
            Ok::<(), StateStoreError>(())
        }));
    }
    for worker in workers {
        soon(worker).await.unwrap().unwrap();
    }
    let mut other = connect(stores[0].path());
    assert_eq!(count(&mut other, "events"), 400);
    assert_eq!(count(&mut other, "tasks"), 400);
    assert_intact(&mut other);
}

/// Awaits a call on a thread that does other things too; returns the longest that those had to wait.
async fn with_ticker<F: Future>(call: F) -> (F::Output, Duration) {
    let mut call = std::pin::pin!(call);
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    let output = soon(std::future::poll_fn(|context| {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }))
    .await;
    (output, longest.max(last.elapsed()))
}

#[tokio::test]
async fn a_lock_of_another_process_is_busy_in_time_and_stalls_no_runtime_thread() {
    let limit = Duration::from_millis(500);
    let (_directory, store) = open(quick().busy_timeout(limit)).await;
    store.save_agent_state(&agent("warm")).await.unwrap();
    let mut other = connect(store.path());
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    let started = Instant::now();
    let (busy, longest) = with_ticker(store.save_agent_state(&agent("busy"))).await;
    assert!(
        matches!(
            busy,
            Err(StateStoreError::Busy {
                operation: "agents.save"
            })
        ),
        "{busy:?}"
    );
    assert!(started.elapsed() >= limit);
    assert!(
        longest < limit / 2,
        "the runtime's thread stood still for {longest:?}"
    );

    let (busy, longest) = with_ticker(store.transact(|tx| tx.agents().save(&agent("busy")))).await;
    assert!(
        matches!(
            busy,
            Err(StateStoreError::Busy {
                operation: "transact"
            })
        ),
        "{busy:?}"
    );
    assert!(
        longest < limit / 2,
        "the runtime's thread stood still for {longest:?}"
    );

    // Reads go on.
    assert_eq!(store.list_agents().await.unwrap().len(), 1);
    other.batch_execute("COMMIT").unwrap();
    store.save_agent_state(&agent("after")).await.unwrap();
    assert!(store.load_agent_state("busy").await.unwrap().is_none());
}

#[tokio::test]
async fn a_lock_of_another_process_that_goes_in_time_is_waited_for() {
    let (_directory, store) = open(quick()).await;
    store.save_agent_state(&agent("warm")).await.unwrap();
    let mut other = connect(store.path());
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let patient = agent("patient");
    let mut save = Box::pin(store.save_agent_state(&patient));
    assert!(poll_once(save.as_mut()).is_pending());
    other.batch_execute("COMMIT").unwrap();
    soon(save).await.unwrap();
    assert!(store.load_agent_state("patient").await.unwrap().is_some());
}

#[tokio::test]
async fn full_durability_is_refused_where_the_file_is_open_with_relaxed() {
    let (directory, relaxed) = open(quick()).await;
    let path = directory.path().join("state.db");
    let full =
        || SqliteStateStore::open(&path, StoreOptions::default().durability(Durability::Full));
    let refused = full().await;
    assert!(matches!(
        refused,
        Err(StateStoreError::InvalidInput {
            field: "options",
            ..
        })
    ));
    // The other way round nobody loses anything, and each store that is gone is out of the way.
    relaxed.close().await.unwrap();
    let first = full().await.unwrap();
    let second = SqliteStateStore::open(&path, quick()).await.unwrap();
    second.save_agent_state(&agent("safe")).await.unwrap();
    drop((first, second));
    SqliteStateStore::open(&path, quick()).await.unwrap();
    soon(full()).await.unwrap();
}
