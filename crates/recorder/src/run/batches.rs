//! Lines on their way into the store, in batches.

use std::time::Duration;

use descartes_state::serde_json::json;
use descartes_state::{Limits, SqliteStateStore, StateStoreError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Notify;
use super::life::{End, Ended, Life};
use super::pump::Queued;
use super::report::Notice;
use crate::entries::{Entries, EntryReader};

/// The most lines of one transaction.
const BATCH_LINES: usize = 256;
/// Bytes of lines at which a transaction takes no further one.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long the first line of a batch waits for others.
const BATCH_TIME: Duration = Duration::from_millis(50);

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) transitions: u64,
    pub(super) lost: u64,
    /// Why some of it was not.
    pub(super) failure: Option<String>,
}

/// Writes the life of one run. Once the store has failed it keeps nothing more, but goes on to take lines, so that the
/// command is never held up.
pub(super) struct Recorder {
    store: SqliteStateStore,
    notify: Notify,
    life: Life,
    reader: EntryReader,
    /// The agent's last recorded status, and its state then.
    last: (&'static str, String),
    pub(super) tally: Tally,
}

impl Recorder {
    pub(super) fn new(store: SqliteStateStore, notify: Notify, life: Life, is_jsonl: bool) -> Self {
        let reader = EntryReader::new(&life.agent_id, &life.session_id, is_jsonl, store.limits());
        Self {
            last: ("idle", life.state("idle", &[])),
            store,
            notify,
            reader,
            life,
            tally: Tally::default(),
        }
    }

    /// Returns the limits of the store that it writes to.
    pub(super) fn limits(&self) -> &Limits {
        self.store.limits()
    }

    /// Records that the command was started, and its lines until the queue ends.
    pub(super) async fn record(
        mut self,
        pid: Option<u32>,
        mut queue: mpsc::Receiver<Queued>,
    ) -> Self {
        let running = self.life.state("running", &[("pid", json!(pid))]);
        let (life, state) = (self.life.clone(), running.clone());
        match self
            .store
            .transact(move |tx| life.running(tx, state, pid))
            .await
        {
            Ok(()) => {
                self.last = ("running", running);
                self.tally.transitions += 1;
            }
            Err(error) => self.fail(&error),
        }
        while let Some(first) = queue.recv().await {
            if self.tally.failure.is_some() {
                self.tally.lost += 1;
                continue;
            }
            let batch = gather(first, &mut queue).await;
            self.keep(batch).await;
        }
        self
    }

    async fn keep(&mut self, batch: Vec<Queued>) {
        let mut entries = Entries::default();
        // The room in the queue stays taken until the lines are kept, so that memory stays bounded.
        let mut rooms = Vec::with_capacity(batch.len());
        for (line, room) in batch {
            self.reader.add(line, &mut entries);
            rooms.push(room);
        }
        let events = entries.events() as u64;
        let transitions = entries.transitions() as u64;
        match self.store.transact(move |tx| entries.write(tx)).await {
            Ok(()) => {
                self.tally.events += events;
                self.tally.transitions += transitions;
            }
            Err(error) => {
                self.tally.lost += events;
                self.fail(&error);
            }
        }
    }

    /// Records the end; returns the id of the snapshot. After a failure it tries once more: a session that is closed with
    /// the number of lost events says more than one that stays open.
    pub(super) async fn end(&mut self, ended: &Ended) -> Option<String> {
        let end = End {
            ended: ended.clone(),
            lost: self.tally.lost,
            has_own_state: self.reader.has_own_state(),
            sessions: self.reader.sessions(),
            agents: self.reader.agents(),
            before: self.last.clone(),
        };
        let life = self.life.clone();
        match self.store.transact(move |tx| life.end(tx, &end)).await {
            Ok(snapshot) => {
                self.tally.transitions += 1;
                Some(snapshot)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Returns how many sessions lines named.
    pub(super) fn named_sessions(&self) -> usize {
        self.reader.sessions().len()
    }

    /// Says it at once, and only once: what follows is lost for the same reason.
    fn fail(&mut self, error: &StateStoreError) {
        if self.tally.failure.is_none() {
            let reason = error.to_string();
            (self.notify)(&Notice::RecordingStopped {
                reason: reason.clone(),
            });
            self.tally.failure = Some(reason);
        }
    }
}

/// Returns the lines that come within a moment of the first.
async fn gather(first: Queued, queue: &mut mpsc::Receiver<Queued>) -> Vec<Queued> {
    let deadline = Instant::now() + BATCH_TIME;
    let mut bytes = first.0.bytes.len();
    let mut batch = vec![first];
    while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
        match timeout_at(deadline, queue.recv()).await {
            Ok(Some(next)) => {
                bytes += next.0.bytes.len();
                batch.push(next);
            }
            Ok(None) | Err(_) => break,
        }
    }
    batch
}
