//! Predictions from recent work: whether an operation is short enough for the caller's thread, and whether others come at
//! the same time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Predicts from a moving average how long the next operation takes.
///
/// No operation counts for more than twice the budget: one that takes a little too long is forgiven, since a thread that
/// lost its core to another for a moment looks just like it; on the blocking pool that is common, and work must not stay
/// there because of it. A stall is not forgiven: it takes five short operations to come back.
#[derive(Debug)]
pub(super) struct LatencyPredictor {
    nanos: AtomicU64,
    budget: Duration,
}

/// No lost time slice takes so long; nor does work that is worth so many budgets.
const STALL: Duration = Duration::from_millis(5);
const STALL_BUDGETS: u32 = 10;

impl LatencyPredictor {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            nanos: AtomicU64::new(0),
            budget,
        }
    }

    pub(super) fn record(&self, took: Duration) {
        if took >= STALL.max(STALL_BUDGETS * self.budget) {
            let stalled = u64::try_from((4 * self.budget).as_nanos()).unwrap_or(u64::MAX);
            self.nanos.store(stalled, Ordering::Relaxed);
            return;
        }
        let took = u64::try_from(took.min(2 * self.budget).as_nanos()).unwrap_or(u64::MAX);
        // Racing updates may lose one another: it is an estimate.
        let average = self.nanos.load(Ordering::Relaxed);
        let next = average - average / 4 + took / 4;
        self.nanos.store(next, Ordering::Relaxed);
    }

    /// Returns whether the next operation is short enough for a runtime's thread.
    pub(super) fn is_short(&self) -> bool {
        !self.budget.is_zero()
            && Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) <= self.budget
    }
}

/// Predicts from what recent lists took a row how long the next one takes.
///
/// A list costs something before its first row: that counts as some rows more. No list counts for more than twice the budget,
/// and one that took longer than predicted counts for less than one that was as short: a list on a busy blocking pool loses
/// its core half-way, and lists must not stay there because of it. A stall isn't forgiven.
#[derive(Debug)]
pub(super) struct ListPredictor {
    /// [`UNKNOWN`] before the first.
    nanos_a_row: AtomicU64,
    budget: Duration,
}

/// The first list of a kind is measured where it may take its time.
const UNKNOWN: u64 = u64::MAX;
/// In budgets. It takes about five short lists to come back.
const STALL_COUNTS_FOR: u32 = 16;
/// What a list of no rows takes, in rows.
const BASE_ROWS: u64 = 16;

impl ListPredictor {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            nanos_a_row: AtomicU64::new(UNKNOWN),
            budget,
        }
    }

    /// Keeps in mind what a list of so many rows took.
    pub(super) fn record(&self, rows: usize, took: Duration) {
        let is_stall = took >= STALL.max(STALL_BUDGETS * self.budget);
        let most = if is_stall { STALL_COUNTS_FOR } else { 2 } * self.budget;
        let a_row = nanos(took.min(most)) / in_rows(rows);
        let average = self.nanos_a_row.load(Ordering::Relaxed);
        let next = if is_stall || average == UNKNOWN {
            a_row
        } else if a_row > average {
            average + (a_row - average) / 8
        } else {
            average - (average - a_row) / 2
        };
        self.nanos_a_row.store(next, Ordering::Relaxed);
    }

    /// Returns whether a list of so many rows is short enough for a runtime's thread.
    pub(super) fn is_short(&self, rows: usize) -> bool {
        let a_row = self.nanos_a_row.load(Ordering::Relaxed);
        !self.budget.is_zero() && a_row.saturating_mul(in_rows(rows)) <= nanos(self.budget)
    }
}

fn in_rows(rows: usize) -> u64 {
    BASE_ROWS.saturating_add(rows as u64)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Predicts whether something comes that is worth a moment's wait, from how often it came lately.
#[derive(Debug, Default)]
pub(super) struct ArrivalPredictor {
    /// How often it didn't come, one time after another.
    misses: AtomicU32,
}

/// After so many misses it is no longer expected.
const MOST_MISSES: u32 = 8;
/// Yet it is looked for once in so many times.
const PROBE_INTERVAL: u32 = 16;

impl ArrivalPredictor {
    pub(super) fn record(&self, came: bool) {
        if came {
            self.misses.store(0, Ordering::Relaxed);
        } else {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_expected(&self) -> bool {
        let misses = self.misses.load(Ordering::Relaxed);
        misses < MOST_MISSES || misses.is_multiple_of(PROBE_INTERVAL)
    }

    /// Returns whether it came lately.
    pub(super) fn is_usual(&self) -> bool {
        self.misses.load(Ordering::Relaxed) < MOST_MISSES
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ArrivalPredictor, Duration, LatencyPredictor, ListPredictor, MOST_MISSES, PROBE_INTERVAL,
    };

    #[test]
    fn what_does_not_come_is_no_longer_expected_and_is_found_again() {
        let arrivals = ArrivalPredictor::default();
        let looked = (0..MOST_MISSES + 10 * PROBE_INTERVAL)
            .filter(|_| {
                let is_expected = arrivals.is_expected();
                arrivals.record(false);
                is_expected
            })
            .count();
        assert_eq!(looked, 18);
        arrivals.record(true);
        assert!(arrivals.is_expected());
    }

    #[test]
    fn one_slow_piece_is_forgiven_and_three_move_work_off_the_runtime_until_three_are_short() {
        let latency = LatencyPredictor::new(Duration::from_micros(250));
        assert!(latency.is_short());
        let slow: Vec<bool> = (0..4)
            .map(|_| {
                latency.record(Duration::from_millis(2));
                latency.is_short()
            })
            .collect();
        assert_eq!(slow, [true, true, false, false]);
        for _ in 0..20 {
            latency.record(Duration::from_millis(2));
        }
        let short: Vec<bool> = (0..3)
            .map(|_| {
                latency.record(Duration::from_micros(5));
                latency.is_short()
            })
            .collect();
        assert_eq!(short, [false, false, true]);
    }

    #[test]
    fn a_disk_that_stalls_at_every_other_commit_stalls_the_runtime_once() {
        let latency = LatencyPredictor::new(Duration::from_micros(500));
        let mut on_the_runtime = 0;
        for _ in 0..500 {
            on_the_runtime += usize::from(latency.is_short());
            latency.record(Duration::from_secs(1));
            latency.record(Duration::from_micros(50));
        }
        assert_eq!(on_the_runtime, 1);
    }

    #[test]
    fn a_budget_of_zero_is_never() {
        assert!(!LatencyPredictor::new(Duration::ZERO).is_short());
        let lists = ListPredictor::new(Duration::ZERO);
        lists.record(100, Duration::ZERO);
        assert!(!lists.is_short(0));
    }

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn the_first_list_of_a_kind_is_measured_elsewhere() {
        let lists = ListPredictor::new(250 * MICROSECOND);
        assert!(!lists.is_short(0));
        lists.record(100, 116 * MICROSECOND);
        assert!(lists.is_short(100));
    }

    #[test]
    fn a_list_is_predicted_by_its_rows() {
        let lists = ListPredictor::new(250 * MICROSECOND);
        // A microsecond a row, and 16 before the first.
        for rows in [0, 3, 100, 10] {
            lists.record(rows, (u32::try_from(rows).unwrap() + 16) * MICROSECOND);
            assert!(lists.is_short(234), "{rows}");
            assert!(!lists.is_short(235), "{rows}");
        }
        // Rows that take four times as long: a fourth as many.
        for _ in 0..40 {
            lists.record(100, 464 * MICROSECOND);
        }
        assert!(lists.is_short(40));
        assert!(!lists.is_short(60));
    }

    #[test]
    fn lists_do_not_stay_on_a_pool_where_every_other_one_loses_its_core() {
        let lists = ListPredictor::new(250 * MICROSECOND);
        for _ in 0..100 {
            lists.record(100, 3_000 * MICROSECOND);
        }
        assert!(!lists.is_short(100));
        for _ in 0..20 {
            lists.record(100, 3_000 * MICROSECOND);
            lists.record(100, 100 * MICROSECOND);
        }
        assert!(lists.is_short(100));
    }

    #[test]
    fn one_slow_list_is_forgiven_and_a_stall_is_not() {
        let lists = ListPredictor::new(250 * MICROSECOND);
        let quick = || lists.record(100, 100 * MICROSECOND);
        quick();
        lists.record(100, 1_000 * MICROSECOND);
        assert!(lists.is_short(100));
        quick();
        lists.record(100, 1_000 * 1_000 * MICROSECOND);
        let again = (0..10).position(|_| {
            quick();
            lists.is_short(100)
        });
        assert_eq!(again, Some(4));
    }
}
