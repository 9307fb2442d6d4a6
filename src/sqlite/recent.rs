//! What recent work tells of the next: whether it may be done on the caller's thread, and whether it will be alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
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

/// Whether writers come together. On one runtime thread each would find the lane free, and commit alone, before the
/// next is polled; so a writer that expects company lets the others queue first.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// Commits of one operation each, one after another.
    alone: AtomicU32,
}

/// After this many commits alone, company is no longer expected.
const ALONE: u32 = 8;
/// Yet it is looked for once in so many commits.
const PROBE: u32 = 16;

impl Company {
    pub(super) fn note(&self, operations: usize) {
        if operations > 1 {
            self.alone.store(0, Ordering::Relaxed);
        } else {
            self.alone.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_expected(&self) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        alone < ALONE || alone.is_multiple_of(PROBE)
    }
}

#[cfg(test)]
mod tests {
    use super::{ALONE, Company, Duration, PROBE, RecentTime};

    #[test]
    fn a_lone_writer_stops_waiting_and_company_is_found_again() {
        let company = Company::default();
        let looked = (0..ALONE + 10 * PROBE)
            .filter(|_| {
                let is_expected = company.is_expected();
                company.note(1);
                is_expected
            })
            .count();
        assert_eq!(looked, 18);
        company.note(2);
        assert!(company.is_expected());
    }

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
