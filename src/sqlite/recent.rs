//! How long recent work took: whether the next may be done on the caller's thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moving average; one slow piece of work counts a quarter, so that a disk that stalls shows at once.
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
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
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

#[cfg(test)]
mod tests {
    use super::{Duration, RecentTime};

    #[test]
    fn one_stall_moves_work_off_the_runtime_and_short_times_bring_it_back() {
        let recent = RecentTime::new(Duration::from_micros(250));
        assert!(recent.is_short());
        recent.note(Duration::from_millis(10));
        assert!(!recent.is_short());
        for _ in 0..20 {
            recent.note(Duration::from_micros(100));
        }
        assert!(recent.is_short());
    }

    #[test]
    fn a_budget_of_zero_is_never() {
        assert!(!RecentTime::new(Duration::ZERO).is_short());
    }
}
