//! Where the store's own times come from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

/// Returns the time that the store writes down itself; the times in a caller's values are stored as they are.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch.
    fn now_micros(&self) -> i64;

    /// Whole seconds since the Unix epoch, rounded down.
    fn now_seconds(&self) -> i64 {
        self.now_micros().div_euclid(MICROS)
    }
}

/// The machine's clock: the default.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        // chrono's clock panics before 1970, which is what a machine without a battery may show.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        }
    }
}

/// Returns an id for a new row: a UUID that rises with the machine's clock (version 7), which costs an index least. Where
/// the clock shows a time before 1970 it is one of 1970's beginning.
///
/// ```
/// assert!(descartes_state::new_id() != descartes_state::new_id());
/// ```
#[must_use]
pub fn new_id() -> Uuid {
    if SystemTime::now() < UNIX_EPOCH {
        Uuid::new_v7(Timestamp::from_unix(NoContext, 0, 0))
    } else {
        Uuid::now_v7()
    }
}

/// A clock for tests, that stands still until it is set or advanced. Clones share their time.
///
/// ```
/// use descartes_state::{Clock, ManualClock};
///
/// let clock = ManualClock::at_seconds(1_000);
/// clock.advance_seconds(5);
/// assert_eq!(clock.now_micros(), 1_005_000_000);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Makes a clock that shows this time, in Unix seconds.
    #[must_use]
    pub fn at_seconds(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds.saturating_mul(MICROS))))
    }

    /// Moves the clock on, or back if negative.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0
            .fetch_add(seconds.saturating_mul(MICROS), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

const MICROS: i64 = 1_000_000;

/// One reading of a clock, in both units that the tables hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) seconds: i64,
    pub(crate) micros: i64,
}

#[derive(Clone)]
pub(crate) struct SharedClock(Arc<dyn Clock>);

impl SharedClock {
    pub(crate) fn new(clock: impl Clock) -> Self {
        Self(Arc::new(clock))
    }

    pub(crate) fn now(&self) -> Now {
        let micros = self.0.now_micros();
        Now {
            seconds: micros.div_euclid(MICROS),
            micros,
        }
    }
}

impl fmt::Debug for SharedClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}
