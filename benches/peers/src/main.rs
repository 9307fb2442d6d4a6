//! Runs descartes-state and what else one would use side by side. README.md says how.

mod arguments;
mod child;
mod contestants;
mod extras;
mod files;
mod goals;
mod plan;
mod prepare;
mod results;
mod run;
#[cfg(feature = "server")]
mod server;
mod tables;
mod verify;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use harness::{Corpus, Job};
use serde_json::json;

use arguments::{Arguments, Command};
use extras::{manifest_directory, target_directory};
use plan::Plan;
use run::Runner;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Contestant { job }) => {
            let job: Job = serde_json::from_str(job).context("the job")?;
            println!("{}", serde_json::to_string(&contestants::run(&job)?)?);
            Ok(())
        }
        #[cfg(feature = "server")]
        Some(Command::Server { url }) => on_a_server(&arguments, url, server::compare),
        #[cfg(feature = "server")]
        Some(Command::Processes { url }) => {
            on_a_server(&arguments, url, server::processes::compare)
        }
        #[cfg(feature = "server")]
        Some(Command::Writer { job, place }) => {
            let job: Job = serde_json::from_str(job).context("the job")?;
            let report = server::processes::write(&job, place)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(())
        }
        None => compare(&arguments),
    }
}

#[cfg(feature = "server")]
fn on_a_server(
    arguments: &Arguments,
    url: &str,
    compare: fn(&Arguments, &str, &Corpus, &std::path::Path) -> Result<()>,
) -> Result<()> {
    let data = data(arguments);
    let corpus = Corpus::load(data.as_deref())?;
    let directory = own_directory(arguments)?;
    let arguments = Arguments {
        data,
        ..arguments.clone()
    };
    let compared = compare(&arguments, url, &corpus, &directory);
    fs::remove_dir_all(&directory)?;
    compared
}

fn compare(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let plan = Plan::new(arguments)?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let data = data(arguments);
    let corpus = Corpus::load(data.as_deref())?;
    let directory = own_directory(arguments)?;

    println!(
        "{} measurements, about {} s. Seed {seed}. Contents: {}, on average {} bytes an event. SQLite {}; sqlx has its own.",
        plan.measurements(),
        plan.estimate().as_secs(),
        if data.is_some() { "real" } else { "made up" },
        corpus.mean_content_bytes(),
        rusqlite::version(),
    );
    let result = measure(arguments, &plan, seed, data, &corpus, &directory);
    // The databases are large, and of no use afterwards.
    fs::remove_dir_all(&directory)?;
    let results = result?;
    println!("\nIt took {:.0} s.", start.elapsed().as_secs_f64());
    ensure!(
        results.errors().is_empty(),
        "{} measurements failed",
        results.errors().len()
    );
    Ok(())
}

fn measure(
    arguments: &Arguments,
    plan: &Plan,
    seed: u64,
    data: Option<PathBuf>,
    corpus: &Corpus,
    directory: &std::path::Path,
) -> Result<results::Results> {
    let databases = plan.workloads.iter().map(|workload| workload.database);
    let began = Instant::now();
    let prepared = prepare::prepare(directory, corpus, plan.scale, databases)?;
    for (database, prepared) in &prepared {
        println!(
            "  prepared {database:?}: {:.1} MB",
            prepared.bytes as f64 / 1e6
        );
    }
    println!("  in {:.1} s", began.elapsed().as_secs_f64());

    let json = arguments
        .json
        .clone()
        .unwrap_or_else(|| target_directory().join("peers.jsonl"));
    let file = File::create(&json).with_context(|| format!("{}", json.display()))?;
    let mut lines = BufWriter::new(file);
    let head = json!({
        "kind": "run",
        "seed": seed,
        "rounds": plan.rounds,
        "seconds": plan.seconds(),
        "scale": plan.scale,
        "real_contents": data.is_some(),
        "sqlite": rusqlite::version(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
    });
    writeln!(lines, "{head}")?;

    let results = Runner::new(plan, &prepared, directory, data, seed)?.run(&mut lines)?;
    tables::print(plan, &results);
    tables::print_circumstances(&results);
    if arguments.tiny {
        println!("\nToo few operations to say anything about the goals.");
    } else {
        goals::print(&results);
    }
    tables::print_errors(&results);
    Ok(results)
}

/// The texts that were asked for, or those beside the repository where there are some.
fn data(arguments: &Arguments) -> Option<PathBuf> {
    let usual = || {
        let path = manifest_directory().join("../../../shared/data/agent-runs.jsonl");
        path.exists().then_some(path)
    };
    arguments.data.clone().or_else(usual)
}

/// A directory of this run's own, so that two runs at once don't meet.
fn own_directory(arguments: &Arguments) -> Result<PathBuf> {
    let parent = arguments.dir.clone();
    let parent = parent.unwrap_or_else(|| target_directory().join("databases"));
    let path = parent.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    Ok(path)
}
