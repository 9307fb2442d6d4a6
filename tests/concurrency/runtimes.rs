//! Runtimes and executors of any kind, and stores that outlive them: no panic, no hang, no lost write.

use std::path::Path;
use std::sync::{Arc, Barrier, Mutex, Once, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use descartes_state::{
    AgentFilter, EventFilter, PageRequest, Revision, SaveIf, SqliteStateStore, StateStoreError,
};
use descartes_state_testing::{
    DEADLINE, HeldWriter, agent, assert_intact, block_on, connect, count, numbered_event,
    numbered_task, open, open_in, poll_once, polled_at_most, quick, soon, until,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

type Done = Result<(), StateStoreError>;

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Panics of background threads, which nobody else hears of: no test here means to panic.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let standard = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A test that fails says so itself.
            if panic
                .location()
                .is_some_and(|location| !location.file().starts_with("tests/"))
            {
                PANICS.lock().unwrap().push(panic.to_string());
            }
            standard(panic);
        }));
    });
}

fn assert_no_panics() {
    let panics = PANICS.lock().unwrap().clone();
    assert!(panics.is_empty(), "{panics:#?}");
}

/// Each way into the store: inline and not, batched and alone, reads of every kind.
async fn use_everything(store: &SqliteStateStore) -> Done {
    store.initialize().await?;
    let before = store.agents().count(&AgentFilter::default()).await?;
    for round in 0..3 {
        store
            .save_agent_state(&agent(&format!("agent-{before}-{round}")))
            .await?;
        store
            .agents()
            .get(&format!("agent-{before}-{round}"))
            .await?;
    }
    let events: Vec<_> = (0..20)
        .map(|number| numbered_event(number, "hello"))
        .collect();
    store.events().append_all(&events).await?;
    store
        .transact(|tx| tx.tasks().save(&numbered_task(1)))
        .await?;
    let tasks = [numbered_task(2), numbered_task(3)];
    let (one, two, three, four) = tokio::join!(
        store.save_task(&tasks[0]),
        store.save_task(&tasks[1]),
        store.search_events("hello"),
        store.read(|tx| tx.tasks().count(&descartes_state::TaskFilter::default())),
    );
    one?;
    two?;
    assert_eq!(three?.len(), 20);
    assert!(four? >= 1);
    let page = store
        .events()
        .list(&EventFilter::default(), &PageRequest::new(7))
        .await?;
    assert_eq!(page.items.len(), 7);
    assert_eq!(
        store.agents().count(&AgentFilter::default()).await?,
        before + 3
    );
    Ok(())
}

fn new_store(runtime: &Runtime) -> (TempDir, SqliteStateStore) {
    runtime.block_on(open(quick()))
}

#[test]
fn a_store_works_on_every_runtime_of_tokio() {
    watch_for_panics();
    let one_blocking_thread = |mut builder: Builder| {
        builder
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap()
    };
    let runtimes = [
        multi_thread(),
        current_thread(),
        one_blocking_thread(Builder::new_multi_thread()),
        one_blocking_thread(Builder::new_current_thread()),
    ];
    for runtime in runtimes {
        runtime.block_on(async {
            let (_directory, store) = open(quick()).await;
            soon(use_everything(&store)).await.unwrap();
            // In a task, in a `LocalSet`, and from the blocking pool.
            let in_task = store.clone();
            soon(tokio::spawn(async move { use_everything(&in_task).await }))
                .await
                .unwrap()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            let in_local = store.clone();
            soon(local.run_until(async move {
                let not_send = std::rc::Rc::new(in_local);
                tokio::task::spawn_local(async move { use_everything(&not_send).await })
                    .await
                    .unwrap()
            }))
            .await
            .unwrap();
            soon(store.close()).await.unwrap();
        });
    }
    assert_no_panics();
}

#[test]
fn a_store_works_from_the_blocking_pool_with_block_on() {
    watch_for_panics();
    for runtime in [multi_thread(), current_thread()] {
        runtime.block_on(async {
            let (_directory, store) = open(quick()).await;
            let handle = tokio::runtime::Handle::current();
            let calls: Vec<_> = (0..4)
                .map(|_| {
                    let (store, handle) = (store.clone(), handle.clone());
                    tokio::task::spawn_blocking(move || {
                        handle.block_on(async {
                            store.save_agent_state(&agent("one")).await?;
                            store.list_agents().await?;
                            store
                                .transact(|tx| tx.tasks().save(&numbered_task(1)))
                                .await
                        })
                    })
                })
                .collect();
            for call in calls {
                soon(call).await.unwrap().unwrap();
            }
        });
    }
    assert_no_panics();
}

#[test]
fn any_executor_may_poll_while_the_runtime_lives() {
    watch_for_panics();
    // The second is driven by nobody meanwhile.
    for runtime in [multi_thread(), current_thread()] {
        let (_directory, store) = new_store(&runtime);
        block_on(use_everything(&store)).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let store = store.with_prefix(number.to_string());
                thread::spawn(move || block_on(use_everything(&store)))
            })
            .collect();
        for one in threads {
            one.join().unwrap().unwrap();
        }
        block_on(store.close()).unwrap();
    }
    assert_no_panics();
}

#[test]
fn waiting_has_an_end_on_any_executor() {
    watch_for_panics();
    let runtime = multi_thread();
    let limit = Duration::from_millis(50);
    let (_directory, store) = runtime.block_on(open(
        quick().acquire_timeout(limit).write_queue(2).readers(1),
    ));
    let lane = runtime.block_on(HeldWriter::new(&store));
    let late = block_on(store.save_agent_state(&agent("late")));
    assert!(
        matches!(late, Err(StateStoreError::Timeout { waited, .. }) if waited == limit),
        "{late:?}"
    );
    let mut waiting = Box::pin(async { store.save_agent_state(&agent("waiting")).await });
    assert!(poll_once(waiting.as_mut()).is_pending());
    let refused = block_on(store.save_agent_state(&agent("refused")));
    assert!(
        matches!(refused, Err(StateStoreError::QueueFull { .. })),
        "{refused:?}"
    );
    drop(waiting);
    runtime.block_on(lane.release());

    let (release, released) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    let reader = store.clone();
    let reading = runtime.spawn(async move {
        let read = reader.read(move |_| {
            entered.send(()).unwrap();
            released.recv_timeout(DEADLINE).unwrap();
            Ok(())
        });
        read.await
    });
    has_entered.recv_timeout(DEADLINE).unwrap();
    let late = block_on(store.list_agents());
    assert!(
        matches!(
            late,
            Err(StateStoreError::Timeout {
                operation: "agents.list",
                ..
            })
        ),
        "{late:?}"
    );
    release.send(()).unwrap();
    runtime.block_on(reading).unwrap().unwrap();
    assert_eq!(block_on(store.list_agents()).unwrap().len(), 1);
    assert_no_panics();
}

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

#[tokio::test]
async fn closing_refuses_drains_checkpoints_and_may_be_done_again() {
    watch_for_panics();
    let (directory, store) = open(quick()).await;
    let wal = directory.path().join("state.db-wal");
    use_everything(&store).await.unwrap();
    drop(store.pool().get().await.unwrap());
    assert!(wal.exists());
    let lane = HeldWriter::new(&store).await;
    let in_flight: Vec<_> = (0..32)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .save_agent_state(&agent(&format!("drained-{number}")))
                    .await
            })
        })
        .collect();
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
    let closers: Vec<_> = (0..3)
        .map(|_| {
            let (store, wal) = (store.with_prefix("clone"), wal.clone());
            tokio::spawn(async move {
                store.close().await.unwrap();
                // Each of them comes back only when it is done, whoever did it.
                assert!(!wal.exists());
            })
        })
        .collect();
    tokio::task::yield_now().await;
    for refused in [
        store.save_agent_state(&agent("new")).await,
        store.transact(|_| Ok(())).await,
        store.read(|_| Ok(())).await,
        store.list_agents().await.map(drop),
        store.initialize().await,
    ] {
        assert!(
            matches!(refused, Err(StateStoreError::Closed)),
            "{refused:?}"
        );
    }
    lane.release().await;
    for save in in_flight {
        soon(save).await.unwrap().unwrap();
    }
    for closer in closers {
        soon(closer).await.unwrap();
    }
    soon(store.close()).await.unwrap();
    assert!(store.pool().get().await.is_err());
    assert_eq!(
        count(
            &mut connect(store.path()),
            "agent_states WHERE agent_id LIKE 'drained-%'"
        ),
        32
    );

    let again = open_in(&directory, quick()).await;
    use_everything(&again).await.unwrap();
    // The old one stays closed.
    assert!(matches!(
        store.list_agents().await,
        Err(StateStoreError::Closed)
    ));
    assert_no_panics();
}

#[tokio::test]
async fn a_close_that_was_dropped_half_way_is_finished_by_the_next() {
    watch_for_panics();
    // More than once: where the next finds the first one's work is up to the machine.
    for _ in 0..10 {
        for polls in 0.. {
            assert!(polls < 40, "it doesn't come to its end");
            let (directory, store) = open(quick()).await;
            store.save_agent_state(&agent("one")).await.unwrap();
            let is_complete = soon(polled_at_most(polls, store.close())).await.is_some();
            soon(store.close()).await.unwrap();
            let wal = directory.path().join("state.db-wal");
            assert!(!wal.exists(), "after {polls} polls");
            if is_complete {
                break;
            }
        }
    }
    assert_no_panics();
}

#[tokio::test]
async fn a_call_that_is_dropped_at_once_keeps_nothing_open() {
    watch_for_panics();
    let (directory, store) = open(quick()).await;
    store.save_agent_state(&agent("one")).await.unwrap();
    // The closure owns the store, and whoever keeps the closure keeps the file open.
    let inside = store.clone();
    let mut call = Box::pin(async move {
        store
            .transact(move |_| {
                drop(inside);
                Ok(())
            })
            .await
    });
    let _: Poll<_> = poll_once(call.as_mut());
    drop(call);
    until("the connections are closed", || {
        !directory.path().join("state.db-wal").exists()
    })
    .await;
    assert_no_panics();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_leaves_other_stores_on_the_file_alone() {
    let (directory, first) = open(quick()).await;
    let second = open_in(&directory, quick()).await;
    let writing = {
        let second = second.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                second.save_agent_state(&agent(&number.to_string())).await?;
            }
            second.close().await
        })
    };
    for _ in 0..20 {
        let third = open_in(&directory, quick()).await;
        third.list_agents().await.unwrap();
        soon(third.close()).await.unwrap();
    }
    soon(first.close()).await.unwrap();
    soon(writing).await.unwrap().unwrap();
    assert!(!directory.path().join("state.db-wal").exists());
    assert_eq!(count(&mut connect(first.path()), "agent_states"), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_opened_again_as_soon_as_it_is_let_go() {
    watch_for_panics();
    // No time at all to wait for what the last store on the file still does.
    let options = || quick().busy_timeout(Duration::ZERO);
    let (directory, store) = open(options()).await;
    drop(store);
    for round in 0..50 {
        let store = open_in(&directory, options()).await;
        let state = agent("contended");
        store.save_agent_state(&state).await.unwrap();
        if round % 2 == 0 {
            // A write that is on its way when its store goes.
            let mut call = Box::pin(store.transact(|tx| tx.tasks().save(&numbered_task(1))));
            let _: Poll<_> = poll_once(call.as_mut());
        }
        drop(store);
    }
    let store = open_in(&directory, options()).await;
    let record = store.agents().get("contended").await.unwrap().unwrap();
    assert_eq!(record.revision, Revision::from(50));
    store
        .agents()
        .save_if(&agent("contended"), SaveIf::Revision(Revision::from(50)))
        .await
        .unwrap();
    assert_no_panics();
}

#[tokio::test]
async fn the_directory_of_a_temporary_store_goes_with_it() {
    watch_for_panics();
    let store = SqliteStateStore::temporary().await.unwrap();
    let directory = store.path().parent().unwrap().to_owned();
    use_everything(&store).await.unwrap();
    // As long as any store has the file open it stays.
    let other = SqliteStateStore::open(store.path(), quick()).await.unwrap();
    soon(store.close()).await.unwrap();
    assert!(directory.exists());
    other.list_agents().await.unwrap();
    soon(other.close()).await.unwrap();
    assert!(!directory.exists());

    let store = SqliteStateStore::temporary().await.unwrap();
    let directory = store.path().parent().unwrap().to_owned();
    use_everything(&store).await.unwrap();
    let clone = store.with_prefix("clone");
    drop(store);
    clone.list_agents().await.unwrap();
    drop(clone);
    until("the directory is gone", || !directory.exists()).await;
    assert_no_panics();
}

#[test]
fn a_store_outside_any_runtime_is_refused_with_a_word() {
    let refused = block_on(SqliteStateStore::temporary());
    assert!(
        matches!(refused, Err(StateStoreError::Unsupported { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_slow_runtime_is_no_hang() {
    // An executor of its own beside a busy current-thread runtime: the lane needs nobody to drive it.
    let runtime = current_thread();
    let (_directory, store) = new_store(&runtime);
    let (release, released) = mpsc::channel::<()>();
    let busy = thread::spawn(move || {
        runtime.block_on(async move { released.recv_timeout(DEADLINE).unwrap() });
    });
    let started = Instant::now();
    block_on(use_everything(&store)).unwrap();
    assert!(started.elapsed() < DEADLINE);
    release.send(()).unwrap();
    busy.join().unwrap();
}
