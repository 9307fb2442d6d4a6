//! Who takes part, and in what.

mod deadpool_diesel;
mod deadpool_sqlite;
mod descartes;
mod diesel_queries;
mod diesel_rows;
mod raw;
mod raw_rows;
mod rusqlite_thread;
mod tokio_rusqlite;

use anyhow::{Result, bail};
use harness::{
    Action, Database, Job, Report, StateSize, Workload, run_asynchronous, run_synchronous,
};

use deadpool_diesel::DeadpoolDiesel;
use deadpool_sqlite::DeadpoolSqlite;
pub(crate) use descartes::{Descartes, Store, Way, agent, event, task, transition};
use rusqlite_thread::Rusqlite;
use tokio_rusqlite::TokioRusqlite;

/// What all ratios are to.
pub(crate) const BASELINE: &str = "rusqlite";

/// In the order of the tables.
pub(crate) const CONTESTANTS: [&str; 10] = [
    BASELINE,
    "rusqlite-64",
    "rusqlite-fts",
    "tokio-rusqlite",
    "deadpool-sqlite",
    "deadpool-diesel",
    "sqlx",
    "descartes-state",
    "descartes-state-pool",
    "descartes-state-transact",
];

/// Whether a contestant has anything to show in a workload.
pub(crate) fn takes_part(contestant: &str, workload: &Workload) -> bool {
    let action = workload.action;
    let is_small_write = matches!(
        action,
        Action::Save {
            size: StateSize::Small,
            ..
        } | Action::Append { .. }
            | Action::Mixed
            | Action::FourAggregates
            | Action::Step
    );
    // The copies are large: only who is compared takes part.
    let is_among_many = matches!(
        contestant,
        BASELINE | "rusqlite-64" | "sqlx" | "descartes-state"
    );
    if workload.database == Database::Million && !is_among_many {
        return false;
    }
    match contestant {
        "descartes-state" => true,
        "descartes-state-pool" => {
            action == Action::Ticker
                || matches!(
                    workload.name.as_str(),
                    "save_1_full" | "save_64_full" | "mixed_64_full" | "load_1" | "load_64"
                )
        }
        "descartes-state-transact" => action == Action::Step,
        "rusqlite-64" => is_small_write && workload.tasks >= 64,
        "rusqlite-fts" => matches!(action, Action::Search(_)),
        // Diesel binds no BLOB as text, and whoever uses it naively doesn't compress.
        "deadpool-diesel" if matches!(action, Action::Save { compress: true, .. }) => false,
        // The ticker needs a runtime, and is about what our store does on it.
        _ => action != Action::Ticker,
    }
}

/// Runs a contestant of this binary, in a process of its own.
pub(crate) fn run(job: &Job) -> Result<Report> {
    let sqlite = rusqlite::version();
    match job.contestant.as_str() {
        BASELINE => run_synchronous(job, sqlite, |setup| Rusqlite::open(setup, 1, false)),
        "rusqlite-64" => run_synchronous(job, sqlite, |setup| Rusqlite::open(setup, 64, false)),
        "rusqlite-fts" => run_synchronous(job, sqlite, |setup| Rusqlite::open(setup, 1, true)),
        "descartes-state" => {
            run_asynchronous(job, sqlite, |setup| Descartes::open(setup, Way::Usual))
        }
        "descartes-state-pool" => {
            run_asynchronous(job, sqlite, |setup| Descartes::open(setup, Way::Pool))
        }
        "descartes-state-transact" => {
            run_asynchronous(job, sqlite, |setup| Descartes::open(setup, Way::Closure))
        }
        "tokio-rusqlite" => run_asynchronous(job, sqlite, TokioRusqlite::open),
        "deadpool-sqlite" => run_asynchronous(job, sqlite, DeadpoolSqlite::open),
        "deadpool-diesel" => run_asynchronous(job, sqlite, DeadpoolDiesel::open),
        other => bail!("there is no contestant {other:?} here"),
    }
}
