//! Closing, and files that are let go: what is under way ends, and nothing stays open.

use std::task::Poll;
use std::time::Duration;

use descartes_state::diesel::connection::SimpleConnection;
use descartes_state::{Revision, SaveIf, SqliteStateStore, StateStoreError, StoreOptions};
use descartes_state_testing::{
    HeldWriter, TestResult, agent, connect, count, numbered_task, open, open_in, poll_once,
    polled_at_most, quick, soon, until,
};

use super::runtimes::{assert_no_panics, use_everything, watch_for_panics};

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

#[tokio::test]
async fn closing_waits_for_no_foreign_reader_and_leaves_what_it_holds_in_the_log() -> TestResult {
    let (_directory, store) = open(StoreOptions::default()).await;
    store.agents().save(&agent("before")).await?;
    let path = store.path().to_owned();
    let mut reader = connect(&path);
    reader.batch_execute("BEGIN; SELECT count(*) FROM agent_states;")?;
    store.agents().save(&agent("after")).await?;
    // The busy timeout is 30 s.
    let closed = tokio::time::timeout(Duration::from_secs(10), store.close());
    closed.await??;
    reader.batch_execute("COMMIT")?;
    let again = SqliteStateStore::new(&path, false).await?;
    assert_eq!(again.list_agents().await?.len(), 2);
    Ok(())
}
