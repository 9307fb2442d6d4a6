//! Eight processes of our store that write at once: to one file, and to a server.

use std::env;
use std::path::Path;
use std::thread;

use anyhow::{Result, anyhow};
use harness::{Corpus, Job, Report};
use rand::Rng;

use super::{Comparison, OURS, databases, ours};
use crate::arguments::Arguments;
use crate::child::Child;
use crate::files;
use crate::prepare;
use crate::results::Spread;

const PROCESSES: usize = 8;
const WORKLOADS: [&str; 6] = [
    "save_1_full",
    "save_64_full",
    "append_1_full",
    "append_64_full",
    "step_1_full",
    "step_64_full",
];

/// Compares a file with a server, and prints how they do.
pub(crate) fn compare(
    arguments: &Arguments,
    url: &str,
    corpus: &Corpus,
    directory: &Path,
) -> Result<()> {
    let Comparison {
        server,
        runtime,
        scale,
        workloads,
        rounds,
        mut random,
    } = Comparison::new(arguments, url, corpus, &WORKLOADS)?;
    let prepared = prepare::prepare(directory, corpus, scale, databases(&workloads))?;
    println!(
        "| workload, in each of {PROCESSES} processes | one file, a second | server, a second | server against file |"
    );
    println!("|---|---|---|---|");
    for workload in workloads {
        let mut rates: Vec<(f64, f64)> = Vec::new();
        for round in 0..rounds {
            let file = directory.join("written.db");
            let source = prepared.get(&workload.database);
            let source = source.ok_or_else(|| anyhow!("the file was not prepared"))?;
            files::copy(&source.path, &file)?;
            let url = server.url(&runtime.block_on(server.database(&workload))?);
            let job = Job {
                contestant: OURS.to_owned(),
                workload: workload.name.clone(),
                path: file.clone(),
                data: arguments.data.clone(),
                seconds: arguments.seconds.unwrap_or(1.0),
                // The last of the eight has begun by then.
                warm_up_seconds: if arguments.tiny { 0.0 } else { 0.5 },
                operations: arguments.tiny.then_some(3),
                scale,
                seed: random.random(),
            };
            let file = file.to_string_lossy().into_owned();
            let places = [file.as_str(), url.as_str()];
            let mut measured = [0.0; 2];
            // By turns.
            for turn in [round % 2, 1 - round % 2] {
                measured[turn] = rate_of_all(&job, places[turn])?;
            }
            rates.push((measured[0], measured[1]));
        }
        let median = |rate: fn(&(f64, f64)) -> f64| {
            Spread::of(rates.iter().map(rate)).map_or(0.0, |spread| spread.median)
        };
        let ratio = Spread::of(rates.iter().map(|(file, server)| server / file));
        let ratio = ratio.map_or_else(String::new, |ratio| {
            format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max)
        });
        println!(
            "| {} | {:.0} | {:.0} | {ratio} |",
            workload.name,
            median(|(file, _)| *file),
            median(|(_, server)| *server),
        );
    }
    Ok(())
}

/// Operations a second of all of them together.
fn rate_of_all(job: &Job, place: &str) -> Result<f64> {
    let executable = env::current_exe()?;
    let children = (0..PROCESSES as u64)
        .map(|number| {
            let seed = job.seed.wrapping_add(number);
            let job = Job {
                seed,
                ..job.clone()
            };
            Child::writer(&executable, &job, place)
        })
        .collect::<Result<Vec<_>>>()?;
    let reports = thread::scope(|scope| {
        let running: Vec<_> = children
            .into_iter()
            .map(|mut child| scope.spawn(move || child.run()))
            .collect();
        running
            .into_iter()
            .map(|child| child.join().map_err(|_| anyhow!("it panicked"))?)
            .collect::<Result<Vec<Report>>>()
    })?;
    Ok(reports
        .iter()
        .map(|report| report.operations as f64 / report.seconds)
        .sum())
}

/// One of them.
pub(crate) fn write(job: &Job, place: &str) -> Result<Report> {
    ours(job, place)
}
