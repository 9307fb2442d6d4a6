//! The queue of writes, and the connection that its leader takes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::kind::{GROUP, INLINE_GROUP, WriteKind, WriteSize};
use super::request::{Request, WriteGroup};
use super::room::{Room, Rooms};
use crate::engine::connection::OwnConnection;
use crate::engine::runtime::AcquireTimeout;
use crate::error::StateStoreError;

pub(super) struct WriteQueue {
    state: Mutex<QueueState>,
    rooms: Rooms,
    /// Tells the leader who waits for callers that they are all back.
    gathered: Condvar,
}

#[derive(Default)]
struct QueueState {
    requests: VecDeque<Box<dyn Request>>,
    /// The connection, while there is no leader; `None` also before the first write.
    connection: Option<OwnConnection>,
    has_leader: bool,
    is_closed: bool,
    /// At most so many requests that wait were withdrawn.
    withdrawn: usize,
    /// What has the lane to itself now, and since when.
    holder: Option<Holder>,
    /// At how many requests the leader goes on; zero while it doesn't wait for any.
    awaited: usize,
}

/// An operation that shares its transaction with no other.
#[derive(Debug, Clone, Copy)]
struct Holder {
    operation: &'static str,
    kind: WriteKind,
    since: Instant,
}

impl QueueState {
    /// Returns whether all that waits may run on a runtime's thread, in one group.
    fn are_short(&self) -> bool {
        let mut size: Option<WriteSize> = None;
        self.requests.len() <= INLINE_GROUP.operations
            && self.requests.iter().all(|request| {
                let whole = size.map_or(request.size(), |size| size.plus(request.size()));
                size = Some(whole);
                request.kind().is_short() && whole.is_within(INLINE_GROUP)
            })
    }
}

impl WriteQueue {
    pub(super) fn new(operations: usize, bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            rooms: Rooms::new(operations, bytes),
            gathered: Condvar::new(),
        }
    }

    /// Returns a place in the queue for a request of so many bytes; waits while it is full.
    pub(super) async fn room(
        &self,
        bytes: usize,
        timeout: &AcquireTimeout,
    ) -> Result<Room, StateStoreError> {
        if let Some(room) = self.rooms.try_take(bytes)? {
            return Ok(room);
        }
        let waiting = self.rooms.wait_for();
        // What is withdrawn from now on is swept at once.
        self.sweep();
        waiting.take(bytes, timeout).await
    }

    /// Adds a request; returns whether the queue lacks a leader.
    pub(super) fn push(&self, request: Box<dyn Request>) -> Result<bool, StateStoreError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(StateStoreError::Closed);
        }
        state.requests.push_back(request);
        if state.requests.len() == state.awaited {
            self.gathered.notify_one();
        }
        Ok(!state.has_leader)
    }

    /// Makes the caller the leader, if there is none, the queue isn't closed, and anything waits; returns the connection, which the first leader
    /// has to open.
    pub(super) fn lead(&self) -> Option<Option<OwnConnection>> {
        let mut state = self.lock();
        if state.has_leader || state.is_closed || state.requests.is_empty() {
            return None;
        }
        state.has_leader = true;
        Some(state.connection.take())
    }

    /// Refuses further requests, and returns the connection to be closed; the queue is empty by then.
    pub(super) fn close(&self) -> Option<OwnConnection> {
        let mut state = self.lock();
        state.is_closed = true;
        state.connection.take()
    }

    /// Takes the requests that go into the next transaction; for a runtime's thread only where all that wait are few and
    /// short.
    pub(super) fn next_group(&self, may_wait: bool) -> WriteGroup {
        let mut state = self.lock();
        state.holder = None;
        let mut group = WriteGroup::new();
        if !may_wait && !state.are_short() {
            return group;
        }
        let mut size: Option<WriteSize> = None;
        while let Some(next) = state.requests.front() {
            let kind = next.kind();
            let whole = size.map_or(next.size(), |size| size.plus(next.size()));
            if size.is_some() && (kind.is_exclusive() || !whole.is_within(GROUP)) {
                break;
            }
            size = Some(whole);
            group.extend(state.requests.pop_front());
            if kind.is_exclusive() {
                state.holder = group.first().map(|first| Holder {
                    operation: first.operation(),
                    kind,
                    since: Instant::now(),
                });
                break;
            }
        }
        group
    }

    /// Returns who keeps the queue from moving on, as the reason of a timeout.
    pub(super) fn holder(&self) -> String {
        let Some(Holder {
            operation,
            kind,
            since,
        }) = self.lock().holder
        else {
            return "the store is busy, try again".to_owned();
        };
        let held = since.elapsed();
        match kind {
            WriteKind::Closure(name) => format!(
                "the closure {name} of `{operation}` has had the store to itself for {held:?}; one that waits for a write of \
                 the same store waits for itself"
            ),
            _ => format!("`{operation}` has had the store to itself for {held:?}, try again"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    /// Lets the queue grow up to a number of requests, for a moment: what comes now shares the next commit. On a thread
    /// that may wait. Returns how many there are.
    pub(super) fn gather(&self, requests: usize, moment: Duration) -> usize {
        let deadline = Instant::now() + moment;
        let mut state = self.lock();
        state.awaited = requests.min(GROUP.operations);
        while state.requests.len() < state.awaited {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.gathered.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.awaited = 0;
        state.requests.len()
    }

    /// Puts requests back at the front, in their order.
    pub(super) fn put_back(&self, group: WriteGroup) {
        let mut state = self.lock();
        for request in group.into_iter().rev() {
            state.requests.push_front(request);
        }
    }

    /// Takes the connection back and ends the leadership; returns false, and takes nothing, where more requests wait.
    pub(super) fn step_down(&self, connection: &mut Option<OwnConnection>) -> bool {
        let mut state = self.lock();
        if !state.requests.is_empty() {
            return false;
        }
        state.has_leader = false;
        state.holder = None;
        state.withdrawn = 0;
        if !state.is_closed {
            state.connection = connection.take();
        }
        true
    }

    /// Ends the leadership, and returns everything that waits.
    pub(super) fn abandon(&self, connection: Option<OwnConnection>) -> WriteGroup {
        let mut state = self.lock();
        state.connection = connection;
        state.has_leader = false;
        std::mem::take(&mut state.requests).into()
    }

    /// Takes note that a request in the queue was withdrawn.
    pub(super) fn withdraw(&self) {
        self.lock().withdrawn += 1;
        self.sweep();
    }

    /// Takes withdrawn requests out where nobody else does soon: where they leave others no room, and where there is no
    /// leader, so that no request that nobody runs keeps its store open.
    fn sweep(&self) {
        let withdrawn = {
            let mut state = self.lock();
            if state.withdrawn == 0 {
                return;
            }
            if state.has_leader && !self.rooms.are_awaited() {
                return;
            }
            let (withdrawn, waiting) = std::mem::take(&mut state.requests)
                .into_iter()
                .partition::<VecDeque<_>, _>(|request| request.is_withdrawn());
            state.requests = waiting;
            state.withdrawn = 0;
            withdrawn
        };
        // What they own is the callers', and may do anything when it is dropped: not under the lock.
        drop(withdrawn);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
