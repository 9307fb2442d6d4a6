//! The results as tables.

use harness::{Measure, Workload};

use crate::contestants::BASELINE;
use crate::plan::{Plan, durability};
use crate::results::{Results, Spread, speed};

/// Prints a table a workload.
pub(crate) fn print(plan: &Plan, results: &Results) {
    println!(
        "Ratios are to {BASELINE} in the same round: min / median / max over the rounds. All else is the median of the rounds."
    );
    for workload in &plan.workloads {
        print_workload(plan, results, workload);
    }
}

fn print_workload(plan: &Plan, results: &Results, workload: &Workload) {
    let unit = workload.action.unit(plan.scale.bulk) as f64;
    let ratio_of = match workload.measure {
        Measure::Throughput => "ratio of throughput, higher is better",
        Measure::Median => "ratio of p50, lower is better",
    };
    let tasks = match workload.tasks {
        1 => "1 task".to_owned(),
        tasks => format!("{tasks} tasks"),
    };
    let slower = match workload.slower_fsync {
        0 => String::new(),
        microseconds => format!(", fsync + {} ms", microseconds / 1000),
    };
    println!(
        "\n{}: {tasks}, {}{slower}; {ratio_of}",
        workload.name,
        durability(workload)
    );
    println!(
        "  {:<22} {:>24} {:>10} {:>10} {:>10} {:>9} {:>9}",
        "", "ratio", "per s", "p50 µs", "p99 µs", "CPU µs", "MB"
    );
    for contestant in plan.contestants_in(workload) {
        let name = &workload.name;
        let median = |number: &dyn Fn(&harness::Report) -> f64| {
            results
                .spread(name, contestant, number)
                .map_or(f64::NAN, |spread| spread.median)
        };
        if results.of(name, contestant).next().is_none() {
            println!("  {contestant:<22} failed: see the errors");
            continue;
        }
        println!(
            "  {contestant:<22} {:>24} {:>10} {:>10} {:>10} {:>9} {:>9}",
            ratio(results.ratio_to_baseline(workload, contestant)),
            short(median(&|report| unit * speed(workload, report))),
            short(median(&|report| report.p50 as f64 / 1000.0)),
            short(median(&|report| report.p99 as f64 / 1000.0)),
            short(median(&|report| report.cpu_seconds * 1e6
                / report.operations as f64
                / unit)),
            short(median(&|report| report.bytes as f64 / 1e6)),
        );
        if let Some((_, first)) = results.of(name, contestant).next()
            && first.ticker.is_some()
        {
            let late = |of: fn(&harness::TickerReport) -> u64| {
                short(median(&|report| {
                    report
                        .ticker
                        .map_or(f64::NAN, |ticker| of(&ticker) as f64 / 1000.0)
                }))
            };
            println!(
                "  {:<22} the ticker was late by {} µs (p50), {} µs (p99), {} µs (worst)",
                "",
                late(|ticker| ticker.p50),
                late(|ticker| ticker.p99),
                late(|ticker| ticker.worst)
            );
        }
    }
}

pub(crate) fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |spread| {
            format!(
                "{} / {} / {}",
                short(spread.min),
                short(spread.median),
                short(spread.max)
            )
        },
    )
}

/// Three figures, or a whole number.
pub(crate) fn short(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    format!("{number:.digits$}")
}

/// Prints what went wrong; nothing is left out in silence.
pub(crate) fn print_errors(results: &Results) {
    for failed in results.errors() {
        println!(
            "ERROR: {} in {}, round {}: {}",
            failed.contestant,
            failed.workload,
            failed.round + 1,
            failed.error.as_deref().unwrap_or("no report")
        );
    }
}

/// Prints how evenly the disk worked meanwhile, and whose SQLite is which.
pub(crate) fn print_circumstances(results: &Results) {
    let fsync = Spread::of(
        results
            .probes()
            .map(|nanoseconds| nanoseconds as f64 / 1000.0),
    );
    if let Some(fsync) = fsync {
        println!(
            "\nAppend of 4 KiB and fdatasync between the measurements: {} / {} / {} µs (min / median / max).",
            short(fsync.min),
            short(fsync.median),
            short(fsync.max)
        );
    }
    for (sqlite, contestants) in results.sqlite_versions() {
        println!("SQLite {sqlite}: {}.", contestants.join(", "));
    }
}
