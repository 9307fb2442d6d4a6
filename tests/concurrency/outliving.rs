//! Stores that outlive their runtime, and runtimes that go while writes wait: nobody is left without an answer, and no
//! acknowledged write is lost.

use std::path::Path;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use descartes_state::StateStoreError;
use descartes_state_testing::{
    DEADLINE, agent, assert_intact, block_on, connect, open, poll_once, quick, until,
};
use tokio::runtime::{Builder, Runtime};

use super::runtimes::{
    assert_no_panics, current_thread, multi_thread, new_store, use_everything, watch_for_panics,
};

#[test]
fn a_store_may_be_dropped_anywhere() {
    watch_for_panics();
    let used = |runtime: &Runtime| {
        let (directory, store) = new_store(runtime);
        runtime.block_on(use_everything(&store)).unwrap();
        runtime.block_on(async { drop(store.pool().get().await.unwrap()) });
        (directory, store)
    };
    let runtime = multi_thread();
    // Outside a runtime: everything is closed when the drop returns.
    let (directory, store) = used(&runtime);
    drop(store);
    assert!(!directory.path().join("state.db-wal").exists());
    // In a thread that knows no runtime, in another runtime, and in a task.
    let (_directory, store) = used(&runtime);
    thread::spawn(move || drop(store)).join().unwrap();
    let (_directory, store) = used(&runtime);
    current_thread().block_on(async move { drop(store) });
    let (_directory, store) = used(&runtime);
    runtime.block_on(async move { tokio::spawn(async move { drop(store) }).await.unwrap() });
    // In its own closure, as the last.
    let (directory, store) = used(&runtime);
    runtime.block_on(async {
        let inside = store.clone();
        let (dropped, is_dropped) = tokio::sync::oneshot::channel();
        let mut call = Box::pin(async move {
            store
                .transact(move |_| {
                    drop(inside);
                    dropped.send(()).unwrap();
                    Ok(())
                })
                .await
        });
        // It may be done at the first poll already: the blocking thread is another.
        if poll_once(call.as_mut()).is_pending() {
            tokio::select! {
                biased;
                _ = is_dropped => {}
                _ = call => {}
            }
        }
        until("the connections are closed", || {
            !directory.path().join("state.db-wal").exists()
        })
        .await;
    });
    // After its runtime.
    let (directory, store) = used(&runtime);
    drop(runtime);
    drop(store);
    assert!(!directory.path().join("state.db-wal").exists());
    let runtime = current_thread();
    let (_directory, store) = used(&runtime);
    runtime.shutdown_background();
    multi_thread().block_on(async move { drop(store) });
    assert_no_panics();
}

/// Agents that are in the file, by id.
fn stored(path: &Path) -> Vec<String> {
    let mut connection = connect(path);
    assert_intact(&mut connection);
    descartes_state_testing::lines(&mut connection, "SELECT agent_id AS line FROM agent_states")
}

#[test]
fn a_runtime_that_goes_while_writes_wait_leaves_no_caller_without_an_answer() {
    watch_for_panics();
    for round in 0..20 {
        let runtime = if round % 2 == 0 {
            multi_thread()
        } else {
            current_thread()
        };
        let (directory, store) = new_store(&runtime);
        let (acknowledged, acknowledgements) = mpsc::channel();
        let start = Arc::new(Barrier::new(7));
        // Callers that outlive the runtime, on their own executors and with its handle.
        let callers: Vec<_> = (0..6)
            .map(|caller| {
                let (store, start) = (store.clone(), Arc::clone(&start));
                let (acknowledged, handle) = (acknowledged.clone(), runtime.handle().clone());
                thread::spawn(move || {
                    start.wait();
                    for number in 0..200 {
                        let id = format!("{caller}-{number}");
                        let state = agent(&id);
                        let call = async {
                            if number % 3 == 0 {
                                store.transact(move |tx| tx.agents().save(&state)).await
                            } else {
                                store.agents().save(&state).await
                            }
                        };
                        let answer = if caller % 2 == 0 {
                            block_on(call)
                        } else {
                            handle.block_on(call)
                        };
                        match answer {
                            Ok(_) => acknowledged.send(id).unwrap(),
                            Err(StateStoreError::Closed) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        // And some that go with it.
        for number in 0..32 {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            runtime.spawn(async move {
                let id = format!("task-{number}");
                if store.save_agent_state(&agent(&id)).await.is_ok() {
                    acknowledged.send(id).unwrap();
                }
            });
        }
        start.wait();
        // At some moment under load, each time another.
        for _ in 0..round {
            acknowledgements
                .recv_timeout(DEADLINE)
                .map(|id| acknowledged.send(id).unwrap())
                .unwrap();
        }
        drop(runtime);
        for caller in callers {
            caller.join().unwrap();
        }
        drop((store, acknowledged));
        let stored = stored(&directory.path().join("state.db"));
        for id in acknowledgements {
            assert!(stored.contains(&id), "{id} was acknowledged, and is lost");
        }
    }
    assert_no_panics();
}

#[test]
fn writes_that_wait_for_a_thread_when_the_runtime_goes_are_written_or_closed() {
    watch_for_panics();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (directory, store) = runtime.block_on(open(quick().inline_budget(Duration::ZERO)));
    runtime
        .block_on(store.save_agent_state(&agent("before")))
        .unwrap();
    // The only thread of the blocking pool is taken, so the lane waits for one.
    let (release, released) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    drop(runtime.spawn_blocking(move || {
        entered.send(()).unwrap();
        released.recv_timeout(DEADLINE).unwrap();
    }));
    has_entered.recv_timeout(DEADLINE).unwrap();
    let (waiting, is_waiting) = mpsc::channel();
    let callers: Vec<_> = (0..8)
        .map(|number| {
            let (store, waiting) = (store.clone(), waiting.clone());
            thread::spawn(move || {
                let state = agent(&format!("waiting-{number}"));
                let mut call = Box::pin(store.save_agent_state(&state));
                assert!(poll_once(call.as_mut()).is_pending());
                waiting.send(()).unwrap();
                block_on(call)
            })
        })
        .collect();
    for _ in 0..8 {
        is_waiting.recv_timeout(DEADLINE).unwrap();
    }
    runtime.shutdown_background();
    release.send(()).unwrap();
    // tokio may still run what waits in its queue, or drop it: the answer says which.
    let answers: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .collect();
    drop(store);
    let stored = stored(&directory.path().join("state.db"));
    for (number, answer) in answers.into_iter().enumerate() {
        let is_stored = stored.contains(&format!("waiting-{number}"));
        match answer {
            Ok(()) => assert!(is_stored, "{number} was acknowledged, and is lost"),
            Err(StateStoreError::Closed) => {
                assert!(!is_stored, "{number} was refused, and is there");
            }
            Err(other) => panic!("{number}: {other}"),
        }
    }
    assert_no_panics();
}

#[test]
fn a_store_whose_runtime_is_gone_says_closed_and_works_in_another() {
    watch_for_panics();
    for runtime in [multi_thread(), current_thread()] {
        let (_directory, store) = new_store(&runtime);
        runtime.block_on(use_everything(&store)).unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        // What needs a thread has none; what needs none may still be done, and is then true.
        let on_handle = store.clone();
        let with_handle = thread::spawn(move || {
            handle.block_on(on_handle.transact(|tx| tx.agents().save(&agent("lost"))))
        });
        assert!(matches!(
            with_handle.join().unwrap(),
            Err(StateStoreError::Closed)
        ));
        let closed = block_on(store.transact(|tx| tx.agents().save(&agent("lost"))));
        assert!(matches!(closed, Err(StateStoreError::Closed)), "{closed:?}");
        let closed = block_on(store.list_agents());
        assert!(matches!(closed, Err(StateStoreError::Closed)), "{closed:?}");
        let closed = block_on(store.read(|_| Ok(())));
        assert!(matches!(closed, Err(StateStoreError::Closed)), "{closed:?}");
        let saved = block_on(store.save_agent_state(&agent("inline")));
        let loaded = block_on(store.load_agent_state("inline"));
        assert!(
            matches!(saved, Ok(()) | Err(StateStoreError::Closed)),
            "{saved:?}"
        );
        assert!(
            matches!(loaded, Ok(_) | Err(StateStoreError::Closed)),
            "{loaded:?}"
        );
        multi_thread().block_on(async {
            assert!(store.load_agent_state("lost").await.unwrap().is_none());
            assert_eq!(
                store.load_agent_state("inline").await.unwrap().is_some(),
                saved.is_ok()
            );
            use_everything(&store).await.unwrap();
            store.close().await.unwrap();
        });
    }
    // And may be closed without any.
    let runtime = multi_thread();
    let (directory, store) = new_store(&runtime);
    runtime.block_on(use_everything(&store)).unwrap();
    drop(runtime);
    block_on(store.close()).unwrap();
    block_on(store.close()).unwrap();
    assert!(!directory.path().join("state.db-wal").exists());
    assert_no_panics();
}
