//! Operations of many callers that share statements, on a server.
//!
//! Who finds nobody at it goes alone. Who comes while others are at it waits, and the next group takes all who wait. What can't be
//! done so is done by itself afterwards.

mod loads;
mod writes;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::engine::postgres;
pub(super) use loads::Load;
pub(super) use writes::{Write, Written};

/// How many groups run at once, and how many operations and bytes one has.
const GROUPS: usize = 2;
const MOST: usize = 256;
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// An operation that may be one of a group.
pub(super) trait Shareable: Sized + Send + 'static {
    type Answer: Send + 'static;

    /// What no two of a group may have.
    fn key(&self) -> Option<&str>;

    fn bytes(&self) -> usize;

    /// Returns the answer that nothing was done, and that the operation is to be done by itself.
    fn alone() -> Self::Answer;

    /// Returns the answer that nobody knows whether it was done: the runtime that did it has ended.
    fn lost(operation: &'static str) -> Self::Answer;

    /// Does a group; returns an answer for each.
    fn run(
        handle: &postgres::Handle,
        operation: &'static str,
        group: Vec<Self>,
    ) -> impl Future<Output = Vec<Self::Answer>> + Send;
}

/// Operations of one kind that wait for their turn.
pub(super) struct Shared<S: Shareable> {
    state: Mutex<State<S>>,
}

struct State<S: Shareable> {
    waiting: Vec<Waiting<S>>,
    groups: usize,
}

struct Waiting<S: Shareable> {
    what: S,
    answer: oneshot::Sender<S::Answer>,
}

impl<S: Shareable> Default for Shared<S> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                groups: 0,
            }),
        }
    }
}

impl<S: Shareable> Shared<S> {
    /// Does an operation with others, or alone where nobody else is at it.
    pub(super) async fn run(
        self: &Arc<Self>,
        handle: &Arc<postgres::Handle>,
        operation: &'static str,
        what: S,
    ) -> S::Answer {
        let turn = {
            let mut state = self.lock();
            if state.groups < GROUPS && state.waiting.is_empty() {
                state.groups += 1;
                Ok(what)
            } else {
                let (answer, answered) = oneshot::channel();
                state.waiting.push(Waiting { what, answer });
                Err(answered)
            }
        };
        match turn {
            Ok(what) => {
                let _turn = LoneTurn {
                    shared: Arc::clone(self),
                    handle: Arc::clone(handle),
                };
                let mut answers = S::run(handle, operation, vec![what]).await;
                answers.pop().unwrap_or_else(S::alone)
            }
            Err(answered) => answered.await.unwrap_or_else(|_| S::lost(operation)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next group; none where nobody waits.
    fn next_group(&self) -> Vec<Waiting<S>> {
        let mut state = self.lock();
        let mut keys = HashSet::new();
        let (mut group, mut later) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for waiting in std::mem::take(&mut state.waiting) {
            // Nothing is done for who has given up.
            if waiting.answer.is_closed() {
                continue;
            }
            let size = waiting.what.bytes();
            let is_full = group.len() == MOST || bytes + size > MOST_BYTES;
            // The later one of two waits for the earlier.
            let is_taken = waiting
                .what
                .key()
                .is_some_and(|key| !keys.insert(key.to_owned()));
            if is_taken || is_full && !group.is_empty() {
                later.push(waiting);
            } else {
                bytes += size;
                group.push(waiting);
            }
        }
        state.waiting = later;
        group
    }

    /// Gives a turn back. Whoever has come since the last group was taken goes alone.
    fn end_turn(&self) {
        let waiting = {
            let mut state = self.lock();
            state.groups -= 1;
            match state.groups {
                0 => std::mem::take(&mut state.waiting),
                // The other group's turn goes on with them.
                _ => Vec::new(),
            }
        };
        for waiting in waiting {
            let _unheard = waiting.answer.send(S::alone());
        }
    }

    async fn run_waiting(turn: GroupTurn<S>, handle: Arc<postgres::Handle>) {
        loop {
            let group = turn.0.next_group();
            if group.is_empty() {
                return;
            }
            let (group, answers): (Vec<S>, Vec<_>) = group
                .into_iter()
                .map(|waiting| (waiting.what, waiting.answer))
                .unzip();
            let done = S::run(&handle, "shared", group).await;
            for (answer, done) in answers.into_iter().zip(done) {
                // Whoever has given up hears nothing.
                let _unheard = answer.send(done);
            }
        }
    }
}

/// The turn of those who wait. It ends with the last of them, or with the runtime.
struct GroupTurn<S: Shareable>(Arc<Shared<S>>);

impl<S: Shareable> Drop for GroupTurn<S> {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

/// The turn of who is at it alone: whoever has come meanwhile is next, also where the caller has given up. They are served on the
/// store's runtime, which lives longer than a caller's may.
struct LoneTurn<S: Shareable> {
    shared: Arc<Shared<S>>,
    handle: Arc<postgres::Handle>,
}

impl<S: Shareable> Drop for LoneTurn<S> {
    fn drop(&mut self) {
        let turn = GroupTurn(Arc::clone(&self.shared));
        if !self.shared.lock().waiting.is_empty() {
            let run = Shared::run_waiting(turn, Arc::clone(&self.handle));
            self.handle.runtime().spawn(run);
        }
    }
}
