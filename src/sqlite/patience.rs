//! Waiting no longer than the acquire timeout, on whatever executor polls.
//!
//! A tokio timer panics outside a runtime, and inside one that is shutting down. So no caller holds one: while anybody
//! waits, one task beats on a runtime, and each caller looks at the clock when it hears the beat. Without a runtime there
//! is no beat, and a caller waits for its answer alone.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::threads::current_or;

/// Beats in one timeout: how exact it is.
const BEATS: u32 = 16;
const SHORTEST_BEAT: Duration = Duration::from_millis(1);
const LONGEST_BEAT: Duration = Duration::from_secs(1);

pub(super) struct Patience {
    limit: Duration,
    runtime: Handle,
    heart: Arc<Heart>,
}

#[derive(Default)]
struct Heart {
    beat: Notify,
    state: Mutex<HeartState>,
}

#[derive(Default)]
struct HeartState {
    waiting: usize,
    is_beating: bool,
}

impl Patience {
    pub(super) fn new(limit: Duration, runtime: Handle) -> Self {
        Self {
            limit,
            runtime,
            heart: Arc::default(),
        }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// What the future gives, or `None` if it gives nothing within the limit.
    pub(super) async fn wait<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let started = Instant::now();
        let _waiting = Waiting::new(&self.heart);
        loop {
            // Before the clock is read, so that no beat is missed.
            let beat = self.heart.beat.notified();
            if started.elapsed() >= self.limit {
                return tokio::select! {
                    biased;
                    output = &mut future => Some(output),
                    () = std::future::ready(()) => None,
                };
            }
            self.keep_beating();
            tokio::select! {
                biased;
                output = &mut future => return Some(output),
                () = beat => {}
            }
        }
    }

    fn keep_beating(&self) {
        {
            let mut state = self.heart.lock();
            if state.is_beating {
                return;
            }
            state.is_beating = true;
        }
        let mut beating = Beating {
            heart: Arc::clone(&self.heart),
            has_beaten: false,
            is_done: false,
        };
        let pause = (self.limit / BEATS).clamp(SHORTEST_BEAT, LONGEST_BEAT);
        drop(current_or(&self.runtime).spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if !beating.beat() {
                    break;
                }
            }
        }));
    }
}

impl Heart {
    fn lock(&self) -> MutexGuard<'_, HeartState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Waiting<'h>(&'h Heart);

impl<'h> Waiting<'h> {
    fn new(heart: &'h Heart) -> Self {
        heart.lock().waiting += 1;
        Self(heart)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// The beating task. If its runtime ends, those who still wait start another where they can.
struct Beating {
    heart: Arc<Heart>,
    has_beaten: bool,
    is_done: bool,
}

impl Beating {
    /// Wakes everybody who waits; false if nobody does.
    fn beat(&mut self) -> bool {
        self.has_beaten = true;
        self.heart.beat.notify_waiters();
        let mut state = self.heart.lock();
        if state.waiting == 0 {
            state.is_beating = false;
            self.is_done = true;
        }
        !self.is_done
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.heart.lock().is_beating = false;
        // One that never ran was refused: waking the others would have them try again for ever.
        if self.has_beaten {
            self.heart.beat.notify_waiters();
        }
    }
}
