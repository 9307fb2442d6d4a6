//! What runs, for how long, and in which order.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Database, Durability, Scale, Workload, workloads};

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, takes_part};

pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) contestants: Vec<String>,
    pub(crate) rounds: usize,
    seconds: f64,
    /// Whether that was said: then it holds for workloads that ask for more, too.
    says_seconds: bool,
    pub(crate) warm_up_seconds: f64,
    /// At the most so many of a single task; one of each where there are many.
    pub(crate) operations: Option<u64>,
    pub(crate) scale: Scale,
    /// Times that each fsync probe writes.
    pub(crate) probes: usize,
}

/// What the table of goals needs.
const QUICK_WORKLOADS: [&str; 21] = [
    "save_1_full",
    "save_1_relaxed",
    "save_64_full",
    "save_64_1ms",
    "append_64_full",
    "bulk_10k_full",
    "step_1_full",
    "step_64_full",
    "four_1_full",
    "load_1",
    "load_64",
    "mixed_64_full",
    "list_10k",
    "list_10k_64",
    "states_page",
    "states_page_64",
    "history_100",
    "history_100_64",
    "search_rare",
    "search_common",
    "ticker",
];
const QUICK_CONTESTANTS: [&str; 7] = [
    "rusqlite",
    "rusqlite-64",
    "rusqlite-fts",
    "sqlx",
    "descartes-state",
    "descartes-state-pool",
    "descartes-state-transact",
];

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let (workloads, contestants) = chosen(arguments)?;
        let plan = Self {
            workloads,
            contestants,
            rounds: 5,
            seconds: 0.7,
            says_seconds: arguments.seconds.is_some(),
            warm_up_seconds: 0.1,
            operations: None,
            scale: Scale::FULL,
            probes: 30,
        };
        let plan = if arguments.tiny {
            Self {
                rounds: 1,
                seconds: 5.0,
                warm_up_seconds: 0.0,
                operations: Some(3),
                scale: Scale::TINY,
                probes: 3,
                ..plan
            }
        } else if arguments.quick {
            Self {
                rounds: 3,
                seconds: 0.2,
                warm_up_seconds: 0.04,
                probes: 15,
                ..plan
            }
        } else {
            plan
        };
        Ok(Self {
            rounds: arguments.rounds.unwrap_or(plan.rounds),
            seconds: arguments.seconds.unwrap_or(plan.seconds),
            ..plan
        })
    }

    /// Who takes part in a workload.
    pub(crate) fn contestants_in<'p>(
        &'p self,
        workload: &'p Workload,
    ) -> impl Iterator<Item = &'p str> {
        self.contestants
            .iter()
            .map(String::as_str)
            .filter(|contestant| takes_part(contestant, workload))
    }

    /// How long a measurement takes where the workload doesn't ask for more.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// How long a measurement takes.
    pub(crate) fn seconds_of(&self, workload: &Workload) -> f64 {
        // Where operations are counted, time is only a bound.
        match self.says_seconds || self.operations.is_some() {
            true => self.seconds,
            false => self.seconds.max(workload.least_seconds),
        }
    }

    pub(crate) fn measurements(&self) -> usize {
        self.rounds
            * self
                .workloads
                .iter()
                .map(|workload| self.contestants_in(workload).count())
                .sum::<usize>()
    }

    /// About how long it will take; the rest of a child's life is copying, starting, probing and checking.
    pub(crate) fn estimate(&self) -> Duration {
        if self.operations.is_some() {
            return Duration::from_secs_f64(2.0 + 0.05 * self.measurements() as f64);
        }
        let has_many = |workload: &Workload| workload.database == Database::Million;
        let preparing = 12.0
            + if self.workloads.iter().any(has_many) {
                40.0
            } else {
                0.0
            };
        let each = |workload: &Workload| {
            let copying = if has_many(workload) { 3.0 } else { 0.12 };
            let once = self.seconds_of(workload) + self.warm_up_seconds + copying;
            once * self.contestants_in(workload).count() as f64
        };
        let round: f64 = self.workloads.iter().map(each).sum();
        Duration::from_secs_f64(preparing + round * self.rounds as f64)
    }
}

fn chosen(arguments: &Arguments) -> Result<(Vec<Workload>, Vec<String>)> {
    let all = workloads();
    for name in &arguments.workload {
        ensure!(
            all.iter().any(|workload| is_meant(name, &workload.name)),
            "there is no workload {name:?}; there are: {}",
            names(&all)
        );
    }
    for name in &arguments.contestant {
        ensure!(
            CONTESTANTS.contains(&name.as_str()),
            "there is no contestant {name:?}; there are: {}",
            CONTESTANTS.join(", ")
        );
    }
    let workloads = all
        .into_iter()
        .filter(|workload| {
            let name = workload.name.as_str();
            match arguments.workload.is_empty() {
                true => !arguments.quick || QUICK_WORKLOADS.contains(&name),
                false => arguments
                    .workload
                    .iter()
                    .any(|wanted| is_meant(wanted, name)),
            }
        })
        .collect();
    let contestants = CONTESTANTS
        .iter()
        .filter(|name| match arguments.contestant.is_empty() {
            true => !arguments.quick || QUICK_CONTESTANTS.contains(name),
            false => arguments.contestant.iter().any(|wanted| wanted == *name),
        })
        .map(|name| (*name).to_owned())
        .collect();
    Ok((workloads, contestants))
}

/// A name may be the beginning of several.
fn is_meant(wanted: &str, name: &str) -> bool {
    name.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

fn names(workloads: &[Workload]) -> String {
    let names: Vec<_> = workloads
        .iter()
        .map(|workload| workload.name.as_str())
        .collect();
    names.join(", ")
}

pub(crate) fn durability(workload: &Workload) -> &'static str {
    match (workload.action.writes(), workload.durability) {
        (false, _) => "reads only",
        (true, Durability::Full) => "full durability",
        (true, Durability::Relaxed) => "relaxed durability",
    }
}
