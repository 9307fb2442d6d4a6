//! What runs, for how long, and in which order.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Action, Durability, Scale, Workload, workloads};

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, takes_part};

pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) contestants: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    /// At the most so many of a single task; one of each where there are many.
    pub(crate) operations: Option<u64>,
    pub(crate) scale: Scale,
    /// Times that each fsync probe writes.
    pub(crate) probes: usize,
}

/// What the table of goals needs.
const QUICK_WORKLOADS: [&str; 15] = [
    "save_1_full",
    "save_1_relaxed",
    "save_64_full",
    "save_64_1ms",
    "append_64_full",
    "bulk_10k_full",
    "load_1",
    "load_64",
    "mixed_64_full",
    "list_10k",
    "list_10k_64",
    "search_rare",
    "search_medium",
    "search_common",
    "ticker",
];
const QUICK_CONTESTANTS: [&str; 6] = [
    "rusqlite",
    "rusqlite-64",
    "tokio-rusqlite",
    "sqlx",
    "descartes-state",
    "descartes-state-pool",
];

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self> {
        let (workloads, contestants) = chosen(arguments)?;
        let plan = Self {
            workloads,
            contestants,
            rounds: 5,
            seconds: 0.7,
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
        let (each, preparing) = if self.operations.is_some() {
            (0.05, 2.0)
        } else {
            (self.seconds + self.warm_up_seconds + 0.12, 12.0)
        };
        Duration::from_secs_f64(preparing + each * self.measurements() as f64)
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

/// Whether our store's events, or everybody's, are in the full-text index afterwards.
pub(crate) fn indexes(contestant: &str, workload: &Workload) -> bool {
    contestant.starts_with("descartes-state")
        || matches!(
            workload.action,
            Action::Append { indexed: true } | Action::AppendAll
        )
}

pub(crate) fn durability(workload: &Workload) -> &'static str {
    match (workload.action.writes(), workload.durability) {
        (false, _) => "reads only",
        (true, Durability::Full) => "full durability",
        (true, Durability::Relaxed) => "relaxed durability",
    }
}
