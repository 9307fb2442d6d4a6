//! Futures that are polled by hand, and waiting with an end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A test that isn't done by then hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the future's output, and fails where it hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it hangs")
}

/// Waits for a condition that nothing announces.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

/// Polls a future once.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future up to `polls` times, each time that it wakes its task, and then drops it at once.
pub async fn polled_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut done = 0;
    std::future::poll_fn(|context| {
        if done == polls {
            return Poll::Ready(None);
        }
        done += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if done == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[derive(Default)]
struct Parked {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.woken.notify_one();
    }
}

/// Runs a future on an executor that knows nothing of tokio.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parked = Arc::<Parked>::default();
    let waker = Waker::from(Arc::clone(&parked));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let is_woken = parked.is_woken.lock().unwrap();
        let (mut is_woken, waited) = parked
            .woken
            .wait_timeout_while(is_woken, DEADLINE, |is_woken| !*is_woken)
            .unwrap();
        assert!(!waited.timed_out(), "it hangs");
        *is_woken = false;
    }
}
