//! Operations of many callers that share statements, on a server.
//!
//! Who finds nobody at it goes alone. Who comes while others are at it waits, and the next group takes all who wait. Groups are served on
//! a runtime of the library's own: a caller's may end, or be left alone, while others wait. What can't be done so is done by
//! itself afterwards.

mod loads;
mod writes;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::engine::postgres;
pub(super) use loads::Load;
pub(super) use writes::{Write, Written};

/// How many go alone at once, how many groups run, and how many operations and bytes one has.
const LONE: usize = 2;
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

    /// Does a group, one of whose calls is named; returns an answer for each.
    fn run(
        handle: &postgres::Handle,
        call: &postgres::Call,
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
    lone: usize,
    groups: usize,
}

struct Waiting<S: Shareable> {
    what: S,
    answer: oneshot::Sender<S::Answer>,
    /// Closing waits for it, whether its caller does or not.
    call: postgres::Call,
}

impl<S: Shareable> Default for Shared<S> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                lone: 0,
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
        call: postgres::Call,
        what: S,
    ) -> S::Answer {
        let turn = {
            let mut state = self.lock();
            if state.lone < LONE && state.groups == 0 {
                state.lone += 1;
                Ok((what, call))
            } else {
                let Some(runtime) = RUNTIME.as_ref() else {
                    return S::alone();
                };
                let (answer, answered) = oneshot::channel();
                state.waiting.push(Waiting { what, answer, call });
                if state.groups < GROUPS {
                    state.groups += 1;
                    let turn = GroupTurn {
                        shared: Arc::clone(self),
                        is_over: false,
                    };
                    runtime.spawn(turn.run(Arc::clone(handle)));
                }
                Err(answered)
            }
        };
        match turn {
            Ok((what, call)) => {
                let _turn = LoneTurn(self);
                let mut answers = S::run(handle, &call, operation, vec![what]).await;
                answers.pop().unwrap_or_else(S::alone)
            }
            Err(answered) => answered.await.unwrap_or_else(|_| S::lost(operation)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where groups are served: always driven, and never dropped. `None` where the system has no thread for it.
static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("descartes-state")
        .enable_time()
        .build()
        .ok()
});

/// The turn of those who wait.
struct GroupTurn<S: Shareable> {
    shared: Arc<Shared<S>>,
    is_over: bool,
}

impl<S: Shareable> GroupTurn<S> {
    async fn run(mut self, handle: Arc<postgres::Handle>) {
        loop {
            let group = self.next_group();
            let (group, waiting): (Vec<S>, Vec<_>) = group
                .into_iter()
                .map(|waiting| (waiting.what, (waiting.answer, waiting.call)))
                .unzip();
            let Some((_, call)) = waiting.first() else {
                return;
            };
            let done = S::run(&handle, call, "shared", group).await;
            for ((answer, _call), done) in waiting.into_iter().zip(done) {
                // Whoever has given up hears nothing.
                let _unheard = answer.send(done);
            }
        }
    }

    /// Returns the next group; none where nobody waits, and then the turn is over.
    fn next_group(&mut self) -> Vec<Waiting<S>> {
        let mut state = self.shared.lock();
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
            let is_taken = !is_full
                && waiting
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
        if group.is_empty() {
            state.groups -= 1;
            self.is_over = true;
        }
        group
    }
}

impl<S: Shareable> Drop for GroupTurn<S> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // A panic has ended it: nobody is to wait for it.
        let waiting = {
            let mut state = self.shared.lock();
            state.groups -= 1;
            std::mem::take(&mut state.waiting)
        };
        for waiting in waiting {
            let _unheard = waiting.answer.send(S::alone());
        }
    }
}

/// The turn of who goes alone. It may be kept for long by a caller who doesn't go on, which keeps nobody else waiting.
struct LoneTurn<'s, S: Shareable>(&'s Shared<S>);

impl<S: Shareable> Drop for LoneTurn<'_, S> {
    fn drop(&mut self) {
        self.0.lock().lone -= 1;
    }
}
