//! The write lane under the load of many tasks: fair, and with every promise kept.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use descartes_state::diesel::SqliteConnection;
use descartes_state::diesel::connection::{
    Instrumentation, InstrumentationEvent, set_default_instrumentation,
};
use descartes_state::{Event, SqliteStateStore, StateStoreError, Step, TransitionDraft};
use descartes_state_testing::{
    HeldWriter, agent, assert_index_is_whole, assert_intact, connect, count, lines, numbered_event,
    numbered_task, open, poll_once, polled_at_most, quick, soon, until_indexed,
};

/// More than fit into one transaction, so that the lane has to choose.
const WRITERS: usize = 600;
const WRITES: usize = 6;

async fn no_writer_goes_ahead(budget: Duration) {
    let (_directory, store) = open(quick().inline_budget(budget)).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("{writer}");
                let draft = TransitionDraft::new(&*name, "{}", "{}");
                let state = agent(&name);
                for _ in 0..WRITES {
                    // Each is one transition, whatever else it is.
                    match writer % 3 {
                        0 => store.transitions().record(&draft).await.map(drop).unwrap(),
                        1 => {
                            let step = Step::to(&state);
                            store.agents().step(&step).await.map(drop).unwrap();
                        }
                        _ => {
                            let mut batch = store.batch();
                            batch.agents().save(&state).unwrap();
                            batch.transitions().record(&draft).unwrap();
                            batch.commit().await.map(drop).unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        soon(writer).await.unwrap();
    }
    let order = "SELECT agent_id AS line FROM state_transitions ORDER BY seq";
    let order = lines(&mut connect(store.path()), order);
    assert_eq!(order.len(), WRITERS * WRITES);
    let mut done = HashMap::new();
    for (place, writer) in order.into_iter().enumerate() {
        let writes = done.entry(writer).or_insert(0);
        // Before anybody's next write, nobody has done more than two more than that.
        assert!(
            place < (*writes + 3) * WRITERS,
            "write {writes} is at {place}"
        );
        *writes += 1;
    }
}

#[tokio::test]
async fn no_writer_goes_far_ahead_of_another() {
    no_writer_goes_ahead(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn no_writer_goes_far_ahead_of_another_on_the_blocking_pool() {
    no_writer_goes_ahead(Duration::ZERO).await;
}

/// Connections that began a transaction in files of a name.
static WRITING: Mutex<usize> = Mutex::new(0);
const NAME: &str = "conflicts";

/// Transactions that were committed in files of another name.
static COMMITS: Mutex<usize> = Mutex::new(0);
const SHARED: &str = "shared";

#[derive(Default)]
struct WriterCounter {
    is_counted: bool,
    counts_commits: bool,
    has_begun: bool,
}

impl Instrumentation for WriterCounter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.is_counted = url.contains(NAME);
                self.counts_commits = url.contains(SHARED);
            }
            InstrumentationEvent::CommitTransaction { depth, .. }
                if self.counts_commits && depth.get() == 1 =>
            {
                *COMMITS.lock().unwrap() += 1;
            }
            InstrumentationEvent::BeginTransaction { .. } if self.is_counted && !self.has_begun => {
                self.has_begun = true;
                *WRITING.lock().unwrap() += 1;
            }
            _ => {}
        }
    }
}

fn batch(first: u128, size: u128, session: &str) -> Vec<Event> {
    let numbers = first..first + size;
    let each = numbers.map(|number| Event {
        session_id: session.to_owned(),
        ..numbered_event(number, "some words")
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_with_a_conflict_in_its_middle_leaves_nothing_and_costs_no_connection() {
    set_default_instrumentation(|| Some(Box::new(WriterCounter::default()))).unwrap();
    let directory = tempfile::Builder::new().prefix(NAME).tempdir().unwrap();
    let store = descartes_state_testing::open_in(&directory, quick()).await;
    store.save_event(&numbered_event(7, "there")).await.unwrap();
    let before = *WRITING.lock().unwrap();
    let others: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..20u128 {
                    let id = 1_000_000 * (writer + 1) + number;
                    store.save_event(&numbered_event(id, "other")).await?;
                    store.save_task(&numbered_task(id)).await?;
                }
                Ok::<_, StateStoreError>(())
            })
        })
        .collect();
    for round in 0..20 {
        let mut events = batch(10_000 + round * 100, 41, "refused");
        events[20] = numbered_event(7, "something else");
        let refused = soon(store.events().append_all(&events)).await;
        assert!(
            matches!(
                refused,
                Err(StateStoreError::Conflict {
                    entity: "event",
                    ..
                })
            ),
            "{refused:?}"
        );
        // At once, by the same caller: the same rows without the bad one.
        events.remove(20);
        for event in &mut events {
            event.session_id = "kept".into();
        }
        let seqs = soon(store.events().append_all(&events)).await.unwrap();
        assert!(seqs.is_sorted());
    }
    for other in others {
        soon(other).await.unwrap().unwrap();
    }
    assert_eq!(
        *WRITING.lock().unwrap(),
        before,
        "the lane's connection was replaced"
    );
    let mut other = connect(store.path());
    assert_eq!(count(&mut other, "events WHERE session_id = 'refused'"), 0);
    assert_eq!(count(&mut other, "events WHERE session_id = 'kept'"), 800);
    assert_eq!(count(&mut other, "events"), 1 + 800 + 64 * 20);
    assert_eq!(count(&mut other, "tasks"), 64 * 20);
    let found = store.search_events("words").await.unwrap();
    assert_eq!(found.len(), 800);
    until_indexed(&store).await;
    assert_index_is_whole(&mut other);
    assert_intact(&mut other);
}

/// A small generator of numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// Commits batches of so many records each, which wait for the lane together; returns in how many transactions.
async fn commits_of(batches: i64, records: i64) -> usize {
    set_default_instrumentation(|| Some(Box::new(WriterCounter::default()))).unwrap();
    let directory = tempfile::Builder::new().prefix(SHARED).tempdir().unwrap();
    let store = descartes_state_testing::open_in(&directory, quick()).await;
    let held = HeldWriter::new(&store).await;
    let mut waiting = Vec::new();
    for _ in 0..batches {
        let mut batch = store.batch();
        for _ in 0..records {
            let draft = TransitionDraft::new("agent", "{}", "{}");
            batch.transitions().record(&draft).unwrap();
        }
        let mut commit = Box::pin(batch.commit());
        assert!(poll_once(commit.as_mut()).is_pending());
        waiting.push(commit);
    }
    *COMMITS.lock().unwrap() = 0;
    held.release().await;
    for commit in waiting {
        soon(commit).await.unwrap();
    }
    let stored = count(&mut connect(store.path()), "state_transitions");
    assert_eq!(stored, batches * records);
    let commits = *COMMITS.lock().unwrap();
    // The one that held the lane.
    commits - 1
}

#[tokio::test]
async fn small_batches_share_a_commit_up_to_256_operations_and_large_ones_have_their_own() {
    assert_eq!(commits_of(85, 3).await, 1);
    assert_eq!(commits_of(86, 3).await, 2);
    assert_eq!(commits_of(16, 32).await, 2);
    assert_eq!(commits_of(5, 33).await, 5);
}

type Call = Pin<Box<dyn Future<Output = Result<(), StateStoreError>> + Send>>;

/// One write whose rows can be told by the number; all of them, or none.
fn call(store: SqliteStateStore, kind: u64, id: u128) -> Call {
    Box::pin(async move {
        let name = format!("{kind}-{id}");
        match kind {
            0 => store.save_agent_state(&agent(&name)).await,
            1 => {
                let one = batch(id, 1, &name).remove(0);
                store.save_event(&one).await
            }
            2 => store
                .events()
                .append_all(&batch(id, 10, &name))
                .await
                .map(drop),
            3 => {
                let both = store.transact(move |tx| {
                    tx.agents().save(&agent(&name))?;
                    tx.events().append(&batch(id, 1, &name)[0]).map(drop)
                });
                both.await
            }
            4 => {
                let (state, event) = (agent(&name), batch(id, 1, &name).remove(0));
                let step = Step::to(&state).event(&event);
                store.agents().step(&step).await.map(drop)
            }
            _ => {
                let mut both = store.batch();
                both.agents().save(&agent(&name))?;
                both.events().append(&batch(id, 1, &name)[0])?;
                both.commit().await.map(drop)
            }
        }
    })
}

/// Whether it was polled, and whether it was acknowledged.
type Fate = (bool, bool);

async fn drop_at_random(store: &SqliteStateStore, seed: u64) -> Vec<(String, Fate)> {
    let writers: Vec<_> = (0..64u64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut dice = Dice(seed * 64 + writer);
                let mut fates = Vec::new();
                for number in 0..25 {
                    let kind = dice.roll(6);
                    let polls = usize::try_from(dice.roll(6)).unwrap();
                    let id = u128::from((writer * 100 + number + 1) * 100);
                    let call = call(store.clone(), kind, id);
                    // The last are let go on to their end.
                    let output = polled_at_most(if polls == 5 { 1_000 } else { polls }, call);
                    let output = soon(output).await.map(Result::unwrap);
                    fates.push((format!("{kind}-{id}"), (polls > 0, output.is_some())));
                }
                fates
            })
        })
        .collect();
    let mut fates = Vec::new();
    for writer in writers {
        fates.extend(soon(writer).await.unwrap());
    }
    fates
}

fn assert_whole_or_absent(connection: &mut SqliteConnection, fates: &[(String, Fate)]) {
    let agents = lines(connection, "SELECT agent_id AS line FROM agent_states");
    let events = "SELECT session_id || '=' || count(*) AS line FROM events GROUP BY session_id";
    let events = lines(connection, events);
    let mut dropped_and_written = 0;
    for (name, (was_polled, is_acknowledged)) in fates {
        let has_agent = agents.contains(name);
        let number = |number: u32| events.contains(&format!("{name}={number}"));
        let has_events = events
            .iter()
            .any(|line| line.starts_with(&format!("{name}=")));
        let is_whole = match name.as_bytes()[0] {
            b'0' => has_agent,
            b'1' => number(1),
            b'2' => number(10),
            _ => has_agent && number(1),
        };
        let is_absent = !has_agent && !has_events;
        assert!(is_whole || is_absent, "{name} is there by halves");
        assert!(
            is_whole || !is_acknowledged,
            "{name} is acknowledged, and lost"
        );
        assert!(
            is_absent || *was_polled,
            "{name} was never polled, and is there"
        );
        dropped_and_written += usize::from(is_whole && !is_acknowledged);
    }
    let acknowledged = fates.iter().filter(|(_, (_, is))| *is).count();
    // Otherwise nothing is tested.
    assert!(acknowledged > 100, "{acknowledged}");
    assert!(acknowledged + dropped_and_written < fates.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_are_dropped_at_any_poll_under_load_are_whole_or_absent() {
    // Also with a queue that they fill again and again, and on the blocking pool alone.
    let options = [
        quick(),
        quick().write_queue(8),
        quick().inline_budget(Duration::ZERO),
    ];
    for (seed, options) in options.into_iter().enumerate() {
        let (_directory, store) = open(options).await;
        let fates = drop_at_random(&store, seed as u64).await;
        // Behind whatever is still at work in the lane.
        soon(store.transact(|tx| tx.tasks().save(&numbered_task(1))))
            .await
            .unwrap();
        let mut other = connect(store.path());
        assert_whole_or_absent(&mut other, &fates);
        until_indexed(&store).await;
        assert_index_is_whole(&mut other);
        assert_intact(&mut other);
        // Every place in the queue is free again.
        let saves: Vec<_> = (2..66)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { store.save_task(&numbered_task(number)).await })
            })
            .collect();
        for save in saves {
            soon(save).await.unwrap().unwrap();
        }
        assert_eq!(count(&mut other, "tasks"), 65);
        soon(store.close()).await.unwrap();
    }
}
