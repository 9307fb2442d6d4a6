//! What is to be reached, and whether it is.

use harness::{Report, Workload};

use crate::contestants::BASELINE;
use crate::results::{Results, Spread, speed};
use crate::tables::ratio;

const OURS: &str = "descartes-state";
const POOL: &str = "descartes-state-pool";
const CLOSURE: &str = "descartes-state-transact";

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
        "  {:<70} {:>9} {:>9} {:>24}  ",
        "", "at least", "reach for", "measured"
    );
    for goal in goals(results) {
        let bound = |bound: Option<Bound>| bound.map_or_else(|| "-".to_owned(), Bound::text);
        println!(
            "  {:<70} {:>9} {:>9} {:>24}  {}",
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
    let tail = |workload: &str| {
        results.spread(workload, OURS, |report| {
            report.p99 as f64 / report.p50 as f64
        })
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
            "step of state + transition + 1 event, 1 task, durable: p50",
            AtMost(1.3),
            AtMost(1.1),
            median("step_1_full"),
        ),
        goal(
            "  the same, 64 tasks: throughput",
            AtLeast(3.5),
            AtLeast(5.0),
            faster("step_64_full", BASELINE),
        ),
        goal(
            "  the same against sqlx, tuned",
            AtLeast(8.0),
            AtLeast(12.0),
            faster("step_64_full", "sqlx"),
        ),
        goal(
            "  the same against the calls in a closure (an older commit: README)",
            AtLeast(4.0),
            AtLeast(6.0),
            faster("step_64_full", CLOSURE),
        ),
        goal(
            "closure of four aggregates, 1 task, durable: p50",
            AtMost(1.5),
            AtMost(1.3),
            median("four_1_full"),
        ),
        goal(
            "append with index, 64 tasks, durable, 1M events (raw with): throughput",
            AtLeast(4.0),
            AtLeast(6.0),
            faster("append_indexed_1m_64_full", BASELINE),
        ),
        goal(
            "append, 1 task, durable, 1M events: p99 over p50",
            AtMost(3.0),
            AtMost(2.2),
            tail("append_1m_1_full"),
        ),
        goal(
            "load by key, 1 task: p50",
            AtMost(1.35),
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
        goal(
            "page of 100 agents (the guide's fields): speed",
            AtLeast(0.7),
            AtLeast(0.9),
            faster("states_page", BASELINE),
        ),
        goal(
            "  the same, 64 tasks: throughput",
            AtLeast(1.2),
            AtLeast(1.5),
            faster("states_page_64", BASELINE),
        ),
        goal(
            "history of 100: speed",
            AtLeast(0.7),
            AtLeast(0.9),
            faster("history_100", BASELINE),
        ),
        goal(
            "  the same, 64 tasks: throughput",
            AtLeast(1.2),
            AtLeast(1.5),
            faster("history_100_64", BASELINE),
        ),
        goal(
            "newest 100 of 100k events, rare word, against LIKE: speed",
            AtLeast(100.0),
            AtLeast(300.0),
            faster("search_rare", BASELINE),
        ),
        goal(
            "  the same, common word, against the same FTS5 query by rusqlite",
            AtLeast(0.8),
            AtLeast(1.0),
            faster("search_common", "rusqlite-fts"),
        ),
        goal(
            "save, 64 tasks, durable: p99 over p50",
            AtMost(3.0),
            AtMost(2.0),
            tail("save_64_full"),
        ),
    ];
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
