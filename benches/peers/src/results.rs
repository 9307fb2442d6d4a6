//! What was measured, round by round.

use std::collections::BTreeMap;

use harness::{Measure, Report, Workload};
use serde::Serialize;

use crate::contestants::BASELINE;

/// One run of one contestant; a line of the file of results.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) kind: &'static str,
    pub(crate) round: usize,
    pub(crate) workload: String,
    pub(crate) contestant: String,
    /// Medians of an append and fdatasync, in nanoseconds.
    pub(crate) fsync_before: u64,
    pub(crate) fsync_after: u64,
    pub(crate) report: Option<Report>,
    pub(crate) error: Option<String>,
}

/// The smallest, the middle and the largest of some numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let middle = numbers.len() / 2;
        let median = if numbers.len() % 2 == 1 {
            numbers[middle]
        } else {
            (numbers.get(middle.checked_sub(1)?)? + numbers[middle]) / 2.0
        };
        Some(Self {
            min: *numbers.first()?,
            median,
            max: *numbers.last()?,
        })
    }
}

/// All measurements.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// By workload, contestant and round.
    reports: BTreeMap<(String, String, usize), Report>,
    errors: Vec<Measurement>,
    /// Times of the fsync probes, in nanoseconds.
    probes: Vec<u64>,
}

impl Results {
    pub(crate) fn add(&mut self, measurement: Measurement) {
        self.probes
            .extend([measurement.fsync_before, measurement.fsync_after]);
        match &measurement.report {
            Some(report) if measurement.error.is_none() => {
                let key = (
                    measurement.workload.clone(),
                    measurement.contestant.clone(),
                    measurement.round,
                );
                self.reports.insert(key, report.clone());
            }
            _ => self.errors.push(measurement),
        }
    }

    pub(crate) fn errors(&self) -> &[Measurement] {
        &self.errors
    }

    pub(crate) fn probes(&self) -> impl Iterator<Item = u64> {
        self.probes.iter().copied()
    }

    /// Who ran on which SQLite.
    pub(crate) fn sqlite_versions(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for ((_, contestant, _), report) in &self.reports {
            let contestants = versions.entry(&report.sqlite).or_default();
            if !contestants.contains(&contestant.as_str()) {
                contestants.push(contestant);
            }
        }
        versions
    }

    /// A contestant's reports in a workload, with their rounds.
    pub(crate) fn of(
        &self,
        workload: &str,
        contestant: &str,
    ) -> impl Iterator<Item = (usize, &Report)> {
        self.reports
            .iter()
            .filter(move |((of, by, _), _)| of == workload && by == contestant)
            .map(|((_, _, round), report)| (*round, report))
    }

    /// Some number of a contestant over the rounds.
    pub(crate) fn spread(
        &self,
        workload: &str,
        contestant: &str,
        number: impl Fn(&Report) -> f64,
    ) -> Option<Spread> {
        Spread::of(
            self.of(workload, contestant)
                .map(|(_, report)| number(report)),
        )
    }

    /// One contestant's number over another's, round by round.
    pub(crate) fn ratio(
        &self,
        workload: &str,
        contestant: &str,
        other: &str,
        number: impl Fn(&Report) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.of(workload, contestant).filter_map(|(round, report)| {
            let key = (workload.to_owned(), other.to_owned(), round);
            let other = number(self.reports.get(&key)?);
            (other > 0.0).then(|| number(report) / other)
        }))
    }

    /// The ratio to raw rusqlite that the workload is about.
    pub(crate) fn ratio_to_baseline(
        &self,
        workload: &Workload,
        contestant: &str,
    ) -> Option<Spread> {
        let number = |report: &Report| match workload.measure {
            Measure::Throughput => speed(workload, report),
            Measure::Median => report.p50 as f64,
        };
        self.ratio(&workload.name, contestant, BASELINE, number)
    }
}

/// Operations a second; of a single task by the median, which other processes disturb least.
pub(crate) fn speed(workload: &Workload, report: &Report) -> f64 {
    if workload.tasks == 1 {
        1e9 / report.p50 as f64
    } else {
        report.operations as f64 / report.seconds
    }
}
