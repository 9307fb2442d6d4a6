//! Writes of many callers that share statements and a commit, on a server.
//!
//! Who finds nobody at it writes alone. Who comes while others write waits, and the next group takes all who wait. A write that can't
//! be done so (its agent is new, an event is there already) is done by itself afterwards: the group has left nothing of it.

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;

use crate::engine::{WriteKind, postgres};
use crate::error::{ErrorKind, StateStoreError};
use crate::models::{SharedWrite, Wrote};
use crate::repository::postgres::write_shared;

/// How many groups are written at once, and how many writes and bytes one has.
const GROUPS: usize = 2;
const MOST_WRITES: usize = 256;
const MOST_BYTES: usize = 1024 * 1024;

/// Writes that wait for their turn.
#[derive(Default)]
pub(super) struct SharedWrites {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    groups: usize,
}

/// What a method has prepared, and how many bytes it has.
#[derive(Clone)]
struct Prepared {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

impl Prepared {
    fn shared(&self) -> Option<SharedWrite<'_>> {
        SharedWrite::of(&*self.value)
    }
}

struct Waiting {
    prepared: Prepared,
    answer: oneshot::Sender<Answer>,
}

/// What became of a write.
pub(super) enum Answer {
    Wrote(Wrote),
    /// Nothing of it was written: it is to be done by itself.
    Alone,
    Failed(StateStoreError),
}

impl SharedWrites {
    /// Writes with others, or alone where nobody else writes.
    pub(super) async fn write(
        self: &Arc<Self>,
        handle: &Arc<postgres::Handle>,
        operation: &'static str,
        value: Arc<dyn Any + Send + Sync>,
        bytes: usize,
    ) -> Answer {
        let prepared = Prepared { value, bytes };
        if prepared.shared().is_none() || bytes > MOST_BYTES {
            return Answer::Alone;
        }
        let waiting = {
            let mut state = self.lock();
            if state.groups < GROUPS && state.waiting.is_empty() {
                state.groups += 1;
                None
            } else {
                let (answer, answered) = oneshot::channel();
                state.waiting.push(Waiting {
                    prepared: prepared.clone(),
                    answer,
                });
                Some(answered)
            }
        };
        match waiting {
            // Who held the answer is gone only where the runtime is.
            Some(answered) => answered.await.unwrap_or(Answer::Alone),
            None => {
                let _turn = Turn {
                    writes: Arc::clone(self),
                    handle: Arc::clone(handle),
                };
                let mut answers = write_group(handle, operation, vec![prepared]).await;
                answers.pop().unwrap_or(Answer::Alone)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next group; none where nobody waits, and then the turn is over.
    fn next_group(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        // Who has given up isn't written.
        state.waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut keys = HashSet::new();
        let (mut group, mut later) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for waiting in std::mem::take(&mut state.waiting) {
            let size = waiting.prepared.bytes;
            let key = waiting.prepared.shared().and_then(|shared| {
                let key = shared.key()?;
                Some(key.to_owned())
            });
            let is_full = group.len() == MOST_WRITES || bytes + size > MOST_BYTES;
            // No two of one agent: the later one waits for the earlier.
            let is_taken = key.is_some_and(|key| !keys.insert(key));
            if is_taken || is_full && !group.is_empty() {
                later.push(waiting);
            } else {
                bytes += size;
                group.push(waiting);
            }
        }
        state.waiting = later;
        if group.is_empty() {
            state.groups -= 1;
        }
        group
    }

    async fn write_waiting(self: Arc<Self>, handle: Arc<postgres::Handle>) {
        loop {
            let group = self.next_group();
            if group.is_empty() {
                return;
            }
            let prepared = group.iter().map(|waiting| waiting.prepared.clone());
            let answers = write_group(&handle, "shared", prepared.collect()).await;
            for (waiting, answer) in group.into_iter().zip(answers) {
                // Whoever has given up hears nothing.
                let _unheard = waiting.answer.send(answer);
            }
        }
    }
}

/// The turn of who writes alone: whoever has come meanwhile is next, also where the caller has given up.
struct Turn {
    writes: Arc<SharedWrites>,
    handle: Arc<postgres::Handle>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.writes.lock();
        match Runtime::try_current() {
            Ok(runtime) if !state.waiting.is_empty() => {
                let (writes, handle) = (Arc::clone(&self.writes), Arc::clone(&self.handle));
                runtime.spawn(writes.write_waiting(handle));
            }
            _ => {
                state.groups -= 1;
                // Without a runtime each is done by itself.
                state.waiting.clear();
            }
        }
    }
}

async fn write_group(
    handle: &postgres::Handle,
    operation: &'static str,
    group: Vec<Prepared>,
) -> Vec<Answer> {
    let count = group.len();
    let work = move |connection: &mut _, notes: &mut _| {
        let writes: Vec<_> = group.iter().filter_map(Prepared::shared).collect();
        write_shared(connection, &writes, notes)
    };
    let kind = WriteKind::FewStatements;
    match handle.write(operation, kind, Vec::new(), work).await {
        Ok(wrote) => wrote
            .into_iter()
            .map(|wrote| wrote.map_or(Answer::Alone, Answer::Wrote))
            .collect(),
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
            let cause = error.to_string();
            let unknown = || {
                Answer::Failed(StateStoreError::OutcomeUnknown {
                    operation,
                    cause: cause.clone().into(),
                })
            };
            std::iter::repeat_with(unknown).take(count).collect()
        }
        // Each by itself says what is wrong with it.
        Err(_) => std::iter::repeat_with(|| Answer::Alone)
            .take(count)
            .collect(),
    }
}
