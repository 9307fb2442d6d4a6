//! Jobs for the runtime's blocking pool that are done also where all of its threads are taken.
//!
//! A caller may sit on a blocking thread itself and wait there for the store (`Handle::block_on` in `spawn_blocking`). Where
//! all of them do, the pool has none left for the work that they wait for. A job that nobody has begun after a moment
//! therefore gets a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// How long a job waits for a thread of the pool; the moment after which a function is called.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the thread that watches stays without anything to watch.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A job until somebody begins it.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Job>>>);

impl Slot {
    fn take(&self) -> Option<Job> {
        lock(&self.0).take()
    }
}

/// The slot in the hands of the runtime: one that refuses to run it drops it, and with it the job.
struct InPool(Slot);

impl InPool {
    fn run(self) {
        if let Some(job) = self.0.take() {
            job();
        }
    }
}

impl Drop for InPool {
    fn drop(&mut self) {
        // Taken out first: what it owns may do anything when it is dropped, and not under the lock.
        let refused = self.0.take();
        drop(refused);
    }
}

/// Runs a job on the runtime's blocking pool, or after a moment on a thread of its own. A runtime that is gone drops it.
pub(super) fn spawn_surely(runtime: &Handle, job: impl FnOnce() + Send + 'static) {
    let slot = Slot(Arc::new(Mutex::new(Some(Box::new(job)))));
    let in_pool = InPool(slot.clone());
    drop(runtime.spawn_blocking(move || in_pool.run()));
    watch(Watched {
        slot,
        runtime: Some(runtime.clone()),
        since: Instant::now(),
    });
}

/// Calls a function after a moment, on the thread that watches: it must not block.
pub(super) fn call_after_a_moment(call: impl FnOnce() + Send + 'static) {
    watch(Watched {
        slot: Slot(Arc::new(Mutex::new(Some(Box::new(call))))),
        runtime: None,
        since: Instant::now(),
    });
}

struct Watched {
    slot: Slot,
    /// Where it gets a thread of its own; `None` is the thread that watches.
    runtime: Option<Handle>,
    since: Instant,
}

#[derive(Default)]
struct Watch {
    /// In the order in which they came.
    jobs: Vec<Watched>,
    has_thread: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    jobs: Vec::new(),
    has_thread: false,
});
static COME: Condvar = Condvar::new();

fn watch(job: Watched) {
    let mut watch = lock(&WATCH);
    watch.jobs.push(job);
    if !watch.has_thread {
        let started = thread::Builder::new()
            .name("state-store-watch".into())
            .spawn(keep_watch);
        // Without a thread the pool has to do, as it nearly always does.
        watch.has_thread = started.is_ok();
    } else if watch.jobs.len() == 1 {
        COME.notify_one();
    }
}

fn keep_watch() {
    let mut watch = lock(&WATCH);
    loop {
        let Some(oldest) = watch.jobs.first().map(|job| job.since) else {
            let waited = COME.wait_timeout(watch, IDLE);
            watch = waited.unwrap_or_else(PoisonError::into_inner).0;
            if watch.jobs.is_empty() {
                watch.has_thread = false;
                return;
            }
            continue;
        };
        let left = PATIENCE.saturating_sub(oldest.elapsed());
        if !left.is_zero() {
            let waited = COME.wait_timeout(watch, left);
            watch = waited.unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let due = watch
            .jobs
            .iter()
            .take_while(|job| job.since.elapsed() >= PATIENCE)
            .count();
        let due: Vec<Watched> = watch.jobs.drain(..due).collect();
        drop(watch);
        due.into_iter().for_each(run_unless_begun);
        watch = lock(&WATCH);
    }
}

fn run_unless_begun(watched: Watched) {
    let Watched { slot, runtime, .. } = watched;
    let Some(job) = slot.take() else {
        return;
    };
    let Some(runtime) = runtime else {
        // This thread serves every store of the process.
        let _panicked = catch_unwind(AssertUnwindSafe(job));
        return;
    };
    let spawned = thread::Builder::new()
        .name("state-store".into())
        .spawn(move || {
            let _inside = runtime.enter();
            job();
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "the blocking pool is taken, and no other thread could be started");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
