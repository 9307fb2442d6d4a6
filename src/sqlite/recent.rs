//! What recent work tells of the next: whether it may be done on the caller's thread, and whether it will be alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A moving average, in which no piece of work counts for more than twice the budget: one that takes a little too long is
/// forgiven, since a thread that lost its core to another for a moment looks just like it; on the blocking pool that is
/// common, and work must not stay there because of it. A stall is not forgiven: it takes five short ones to come back.
#[derive(Debug)]
pub(super) struct RecentTime {
    nanos: AtomicU64,
    budget: Duration,
}

/// No lost time slice takes so long; nor does work that is worth so many budgets.
const STALL: Duration = Duration::from_millis(5);
const STALL_BUDGETS: u32 = 10;

impl RecentTime {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            nanos: AtomicU64::new(0),
            budget,
        }
    }

    pub(super) fn note(&self, took: Duration) {
        if took >= STALL.max(STALL_BUDGETS * self.budget) {
            let stalled = u64::try_from((4 * self.budget).as_nanos()).unwrap_or(u64::MAX);
            self.nanos.store(stalled, Ordering::Relaxed);
            return;
        }
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
    fn one_slow_piece_is_forgiven_and_three_move_work_off_the_runtime_until_three_are_short() {
        let recent = RecentTime::new(Duration::from_micros(250));
        assert!(recent.is_short());
        let slow: Vec<bool> = (0..4)
            .map(|_| {
                recent.note(Duration::from_millis(2));
                recent.is_short()
            })
            .collect();
        assert_eq!(slow, [true, true, false, false]);
        for _ in 0..20 {
            recent.note(Duration::from_millis(2));
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
    fn a_disk_that_stalls_at_every_other_commit_stalls_the_runtime_once() {
        let recent = RecentTime::new(Duration::from_micros(500));
        let mut on_the_runtime = 0;
        for _ in 0..500 {
            on_the_runtime += usize::from(recent.is_short());
            recent.note(Duration::from_secs(1));
            recent.note(Duration::from_micros(50));
        }
        assert_eq!(on_the_runtime, 1);
    }

    #[test]
    fn a_budget_of_zero_is_never() {
        assert!(!RecentTime::new(Duration::ZERO).is_short());
    }
}
