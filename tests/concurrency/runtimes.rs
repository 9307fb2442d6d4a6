//! Runtimes and executors of any kind: no panic, no hang.

use std::sync::{Arc, Barrier, Mutex, Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use descartes_state::{AgentFilter, EventFilter, PageRequest, SqliteStateStore, StateStoreError};
use descartes_state_testing::{
    DEADLINE, HeldWriter, agent, block_on, event, numbered_event, numbered_task, open, poll_once,
    quick, soon,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Handle, Runtime};

pub(super) type Done = Result<(), StateStoreError>;

pub(super) fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub(super) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Panics of background threads, which nobody else hears of: no test here means to panic.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(super) fn watch_for_panics() {
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

pub(super) fn assert_no_panics() {
    let panics = PANICS.lock().unwrap().clone();
    assert!(panics.is_empty(), "{panics:#?}");
}

/// Each way into the store: inline and not, batched and alone, reads of every kind.
pub(super) async fn use_everything(store: &SqliteStateStore) -> Done {
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

pub(super) fn new_store(runtime: &Runtime) -> (TempDir, SqliteStateStore) {
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
            let handle = Handle::current();
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

#[test]
fn a_call_from_every_blocking_thread_at_once_finishes() {
    const THREADS: usize = 4;
    for is_multi_thread in [false, true] {
        let mut builder = if is_multi_thread {
            Builder::new_multi_thread()
        } else {
            Builder::new_current_thread()
        };
        let runtime = builder
            .enable_all()
            .max_blocking_threads(THREADS)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (_directory, store) = open(quick()).await;
            let all_taken = Arc::new(Barrier::new(THREADS));
            let callers: Vec<_> = (0..THREADS)
                .map(|caller| {
                    let (store, all_taken) = (store.clone(), Arc::clone(&all_taken));
                    let handle = Handle::current();
                    tokio::task::spawn_blocking(move || {
                        for round in 0..5 {
                            all_taken.wait();
                            handle.block_on(async {
                                let id = format!("{caller} {round}");
                                store.agents().save(&agent(&id)).await.unwrap();
                                store.events().append_all(&[event(&id)]).await.unwrap();
                                store.list_agents().await.unwrap();
                                store
                                    .transact(move |tx| tx.agents().get(&id).map(drop))
                                    .await
                                    .unwrap();
                            });
                        }
                    })
                })
                .collect();
            for caller in callers {
                soon(caller).await.unwrap();
            }
            assert_eq!(store.list_agents().await.unwrap().len(), THREADS * 5);
        });
    }
}
