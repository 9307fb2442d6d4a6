//! The caller's runtime: where blocking work runs, and how long a call waits.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::blocking::spawn_surely;
use crate::error::StateStoreError;

/// Returns the runtime that polls now, or the store's own: any executor may poll a future of the store.
pub(super) fn current_or(own: &Handle) -> Handle {
    Handle::try_current().unwrap_or_else(|_| own.clone())
}

/// Runs blocking work on the runtime's blocking pool.
pub(super) async fn on_blocking_pool<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, StateStoreError> + Send + 'static,
) -> Result<T, StateStoreError> {
    let span = tracing::Span::current();
    let (done, result) = oneshot::channel();
    spawn_surely(runtime, move || {
        // A caller that is gone doesn't hear it.
        let _unheard = done.send(span.in_scope(|| catch_panic(work)));
    });
    // A panic is caught inside; what is left is a runtime that is shutting down.
    result.await.unwrap_or(Err(StateStoreError::Closed))
}

/// Turns a panic into an error.
pub(super) fn catch_panic<T>(
    work: impl FnOnce() -> Result<T, StateStoreError>,
) -> Result<T, StateStoreError> {
    // What the work may have left half-done is its transaction, and that is rolled back.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(StateStoreError::Panicked {
            message: panic_message(panic.as_ref()),
        })
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

/// How long tasks may work on a runtime's thread before one of them yields, where other calls are in flight and where
/// none are.
///
/// tokio looks at timers and sockets after 61 polls of tasks, and its own budget would let each of those make 128 calls
/// that never wait: a timer would be late by as much as 50 ms.
const SHARED_SLICE: Duration = Duration::from_micros(25);
const LONE_SLICE: Duration = Duration::from_micros(250);

thread_local! {
    /// Work done on this thread since a task last yielded.
    static SINCE_YIELD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Counts work that was done on a runtime's thread, and yields to other tasks once that is enough.
pub(super) async fn yield_after(took: Duration, has_company: bool) {
    count_work(took);
    yield_if_due(has_company).await;
}

/// Counts work that was done on a runtime's thread: the next that is done there may have to yield first.
pub(super) fn count_work(took: Duration) {
    SINCE_YIELD.set(SINCE_YIELD.get() + took);
}

/// Yields to other tasks if enough work was done on their thread.
pub(super) async fn yield_if_due(has_company: bool) {
    let slice = if has_company {
        SHARED_SLICE
    } else {
        LONE_SLICE
    };
    if SINCE_YIELD.get() < slice {
        tokio::task::consume_budget().await;
    } else {
        SINCE_YIELD.set(Duration::ZERO);
        tokio::task::yield_now().await;
    }
}

/// Drops a value whose drop may block: on the blocking pool, or here where there is no runtime.
pub(super) fn drop_on_blocking_pool<T: Send + 'static>(value: T) {
    match Handle::try_current() {
        // A runtime that is gone drops it at once.
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(value))),
        Err(_) => drop(value),
    }
}

/// Ticks in one timeout: how exact it is.
const TICKS: u32 = 16;
const SHORTEST_TICK: Duration = Duration::from_millis(1);
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// The acquire timeout, on whatever executor polls.
///
/// A tokio timer panics outside a runtime, and inside one that is shutting down. So no caller holds one: while anybody
/// waits, one task ticks on a runtime, and each caller looks at the clock at each tick. Without a runtime nothing ticks,
/// and a caller waits for its answer alone.
pub(super) struct AcquireTimeout {
    limit: Duration,
    runtime: Handle,
    ticker: Arc<Ticker>,
}

#[derive(Default)]
struct Ticker {
    tick: Notify,
    state: Mutex<TickerState>,
}

#[derive(Default)]
struct TickerState {
    waiting: usize,
    is_ticking: bool,
}

impl AcquireTimeout {
    pub(super) fn new(limit: Duration, runtime: Handle) -> Self {
        Self {
            limit,
            runtime,
            ticker: Arc::default(),
        }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns the future's output, or `None` if there is none within the limit.
    pub(super) async fn wait<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let started = Instant::now();
        let _waiting = Waiting::new(&self.ticker);
        loop {
            // Before the clock is read, so that no tick is missed.
            let tick = self.ticker.tick.notified();
            if started.elapsed() >= self.limit {
                return tokio::select! {
                    biased;
                    output = &mut future => Some(output),
                    () = std::future::ready(()) => None,
                };
            }
            self.keep_ticking();
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = tick => {}
            }
        }
    }

    fn keep_ticking(&self) {
        {
            let mut state = self.ticker.lock();
            if state.is_ticking {
                return;
            }
            state.is_ticking = true;
        }
        let mut ticking = Ticking {
            ticker: Arc::clone(&self.ticker),
            has_ticked: false,
            is_done: false,
        };
        let pause = (self.limit / TICKS).clamp(SHORTEST_TICK, LONGEST_TICK);
        drop(current_or(&self.runtime).spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if !ticking.tick() {
                    break;
                }
            }
        }));
    }
}

impl Ticker {
    fn lock(&self) -> MutexGuard<'_, TickerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits; counted while it lives.
struct Waiting<'t>(&'t Ticker);

impl<'t> Waiting<'t> {
    fn new(ticker: &'t Ticker) -> Self {
        ticker.lock().waiting += 1;
        Self(ticker)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// The task that ticks. If its runtime ends, those who still wait start another where they can.
struct Ticking {
    ticker: Arc<Ticker>,
    has_ticked: bool,
    is_done: bool,
}

impl Ticking {
    /// Wakes everybody who waits; returns false if nobody does.
    fn tick(&mut self) -> bool {
        self.has_ticked = true;
        self.ticker.tick.notify_waiters();
        let mut state = self.ticker.lock();
        if state.waiting == 0 {
            state.is_ticking = false;
            self.is_done = true;
        }
        !self.is_done
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.ticker.lock().is_ticking = false;
        // One that never ran was refused: waking the others would have them try again for ever.
        if self.has_ticked {
            self.ticker.tick.notify_waiters();
        }
    }
}
