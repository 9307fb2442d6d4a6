//! What is to be reached, and whether it is.

use harness::{Report, Workload};

use crate::contestants::BASELINE;
use crate::results::{Results, Spread, speed};
use crate::tables::ratio;

const OURS: &str = "descartes-state";
const POOL: &str = "descartes-state-pool";

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::AtMost(most) => number <= most,
            Self::AtLeast(least) => number >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
        }
    }
}

struct Goal {
    what: String,
    at_least: Option<Bound>,
    reach_for: Option<Bound>,
    measured: Option<Spread>,
}

/// Prints every goal with what was measured; the median of the rounds decides.
pub(crate) fn print(results: &Results) {
    println!("\nGoals (ratios of {OURS}, min / median / max over the rounds; the median decides)");
    println!(
        "  {:<66} {:>9} {:>9} {:>24}  ",
        "", "at least", "reach for", "measured"
    );
    for goal in goals(results) {
        let bound = |bound: Option<Bound>| bound.map_or_else(|| "-".to_owned(), Bound::text);
        println!(
            "  {:<66} {:>9} {:>9} {:>24}  {}",
            goal.what,
            bound(goal.at_least),
            bound(goal.reach_for),
            ratio(goal.measured),
            verdict(&goal)
        );
    }
}

fn verdict(goal: &Goal) -> &'static str {
    let Some(measured) = goal.measured else {
        return "not measured";
    };
    let holds = |bound: Option<Bound>| bound.map(|bound| bound.holds(measured.median));
    match (holds(goal.at_least), holds(goal.reach_for)) {
        (Some(false), _) => "MISSED",
        (_, Some(true)) => "reached",
        (Some(true), _) => "met",
        (None, _) => "not reached",
    }
}

fn goals(results: &Results) -> Vec<Goal> {
    use Bound::{AtLeast, AtMost};
    let median =
        |workload: &str| results.ratio(workload, OURS, BASELINE, |report| report.p50 as f64);
    let faster = |name: &str, than: &str| {
        let workload = Workload::find(name)?;
        results.ratio(name, OURS, than, |report| speed(&workload, report))
    };
    let mut goals = vec![
        goal(
            "save, 1 task, durable: p50",
            AtMost(1.25),
            AtMost(1.05),
            median("save_1_full"),
        ),
        goal(
            "save, 1 task, relaxed: p50",
            AtMost(1.5),
            AtMost(1.2),
            median("save_1_relaxed"),
        ),
        goal(
            "save, 64 tasks, durable: throughput",
            AtLeast(8.0),
            AtLeast(12.0),
            faster("save_64_full", BASELINE),
        ),
        Goal {
            reach_for: None,
            ..goal(
                "  the same against sqlx, tuned",
                AtLeast(15.0),
                AtLeast(15.0),
                faster("save_64_full", "sqlx"),
            )
        },
        Goal {
            at_least: None,
            ..goal(
                "  the same against rusqlite with 64 operations a transaction",
                AtLeast(0.7),
                AtLeast(0.7),
                faster("save_64_full", "rusqlite-64"),
            )
        },
        goal(
            "save, 64 tasks, fsync + 1 ms: throughput",
            AtLeast(25.0),
            AtLeast(37.0),
            faster("save_64_1ms", BASELINE),
        ),
        goal(
            "append with index, 64 tasks, durable (raw without): throughput",
            AtLeast(4.0),
            AtLeast(6.0),
            faster("append_64_full", BASELINE),
        ),
        goal(
            "bulk append of 10,000 with index (raw with): throughput",
            AtLeast(0.8),
            AtLeast(1.0),
            faster("bulk_10k_full", BASELINE),
        ),
        goal(
            "load by key, 1 task: p50",
            AtMost(1.4),
            AtMost(1.15),
            median("load_1"),
        ),
        goal(
            "load by key, 64 tasks: throughput",
            AtLeast(0.8),
            AtLeast(1.2),
            faster("load_64", BASELINE),
        ),
        goal(
            "mixed 90/10, 64 tasks, durable: throughput",
            AtLeast(2.5),
            AtLeast(4.0),
            faster("mixed_64_full", BASELINE),
        ),
        goal(
            "list 10,000, page of 100: speed",
            AtLeast(0.85),
            AtLeast(1.0),
            faster("list_10k", BASELINE),
        ),
        Goal {
            at_least: None,
            ..goal(
                "  the same, 64 tasks: throughput",
                AtLeast(1.0),
                AtLeast(1.0),
                faster("list_10k_64", BASELINE),
            )
        },
    ];
    for (word, name) in [
        ("rare", "search_rare"),
        ("medium", "search_medium"),
        ("common", "search_common"),
    ] {
        goals.push(goal(
            &format!("newest 100 of 100k events, {word} word, against LIKE: speed"),
            AtLeast(100.0),
            AtLeast(300.0),
            faster(name, BASELINE),
        ));
    }
    goals.push(goal(
        "save, 64 tasks, durable: p99 over p50",
        AtMost(3.0),
        AtMost(2.0),
        results.spread("save_64_full", OURS, |report| {
            report.p99 as f64 / report.p50 as f64
        }),
    ));
    for (what, name) in [
        ("", "ticker"),
        (", fsync + 1 ms", "ticker_1ms"),
        (", fsync + 10 ms", "ticker_10ms"),
        (", cold cache", "ticker_cold"),
    ] {
        goals.push(Goal {
            reach_for: None,
            ..goal(
                &format!("1 ms ticker{what}: worst delay against all on the pool"),
                AtMost(1.0),
                AtMost(1.0),
                results.ratio(name, OURS, POOL, worst_delay),
            )
        });
    }
    goals
}

fn goal(what: &str, at_least: Bound, reach_for: Bound, measured: Option<Spread>) -> Goal {
    Goal {
        what: what.to_owned(),
        at_least: Some(at_least),
        reach_for: Some(reach_for),
        measured,
    }
}

fn worst_delay(report: &Report) -> f64 {
    report.ticker.map_or(f64::NAN, |ticker| ticker.worst as f64)
}
