//! What recent work tells of the next: whether it may be done on the caller's thread, and whether it will be alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A moving average, in which no piece of work counts for more than twice the budget: so it takes three slow ones in a row
/// to leave the caller's thread, and three short ones to come back. A thread that lost its core to another for a moment
/// looks just like one slow piece; on the blocking pool that is common, and work must not stay there because of it.
#[derive(Debug)]
pub(super) struct RecentTime {
    nanos: AtomicU64,
    budget: Duration,
}

impl RecentTime {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            nanos: AtomicU64::new(0),
            budget,
        }
    }

    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.min(2 * self.budget).as_nanos()).unwrap_or(u64::MAX);
        // Racing notes may lose one another: it is an estimate.
        let average = self.nanos.load(Ordering::Relaxed);
        let next = average - average / 4 + took / 4;
        self.nanos.store(next, Ordering::Relaxed);
    }

    /// Whether work is short enough for a runtime's thread.
    pub(super) fn is_short(&self) -> bool {
        !self.budget.is_zero()
            && Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) <= self.budget
    }
}

/// Whether something is worth waiting for a moment, by how often it came of late.
#[derive(Debug, Default)]
pub(super) struct Hope {
    /// How often it didn't come, one time after another.
    disappointments: AtomicU32,
}

/// After this many disappointments it is no longer expected.
const ENOUGH: u32 = 8;
/// Yet it is looked for once in so many times.
const PROBE: u32 = 16;

impl Hope {
    pub(super) fn note(&self, came: bool) {
        if came {
            self.disappointments.store(0, Ordering::Relaxed);
        } else {
            self.disappointments.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_held(&self) -> bool {
        let times = self.disappointments.load(Ordering::Relaxed);
        times < ENOUGH || times.is_multiple_of(PROBE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, ENOUGH, Hope, PROBE, RecentTime};

    #[test]
    fn what_does_not_come_is_no_longer_awaited_and_is_found_again() {
        let hope = Hope::default();
        let looked = (0..ENOUGH + 10 * PROBE)
            .filter(|_| {
                let is_held = hope.is_held();
                hope.note(false);
                is_held
            })
            .count();
        assert_eq!(looked, 18);
        hope.note(true);
        assert!(hope.is_held());
    }

    #[test]
    fn one_stall_is_forgiven_and_three_move_work_off_the_runtime_until_three_are_short() {
        let recent = RecentTime::new(Duration::from_micros(250));
        assert!(recent.is_short());
        let stalls: Vec<bool> = (0..4)
            .map(|_| {
                recent.note(Duration::from_millis(10));
                recent.is_short()
            })
            .collect();
        assert_eq!(stalls, [true, true, false, false]);
        for _ in 0..20 {
            recent.note(Duration::from_millis(10));
        }
        let short: Vec<bool> = (0..3)
            .map(|_| {
                recent.note(Duration::from_micros(5));
                recent.is_short()
            })
            .collect();
        assert_eq!(short, [false, false, true]);
    }

    #[test]
    fn a_budget_of_zero_is_never() {
        assert!(!RecentTime::new(Duration::ZERO).is_short());
    }
}
