//! The same on a PostgreSQL server: our store, sqlx and tokio-postgres, on databases that our store has made.

pub(crate) mod processes;
mod sqlx_peer;
mod statements;
mod tokio_peer;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use descartes_state::{AnyStateStore, StoreOptions};
use harness::{Corpus, Database, Job, Report, Scale, Workload, run_asynchronous};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio_postgres::NoTls;

use crate::arguments::Arguments;
use crate::contestants::{Descartes, Way};
use crate::prepare::fill;
use crate::results::Spread;
use sqlx_peer::SqlxPeer;
use tokio_peer::TokioPeer;

const WORKLOADS: [&str; 12] = [
    "save_1_full",
    "save_64_full",
    "append_64_full",
    "bulk_10k_full",
    "step_1_full",
    "step_64_full",
    "load_1",
    "load_64",
    "states_page",
    "history_100",
    "search_rare",
    "search_common",
];
const OURS: &str = "descartes-state";
const CONTESTANTS: [&str; 3] = [OURS, "sqlx", "tokio-postgres"];
/// How many connections each has.
pub(super) const CONNECTIONS: usize = 10;

/// A server, by the URL of its database `postgres`.
struct Server {
    before: String,
    after: String,
}

impl Server {
    fn new(url: &str) -> Result<Self> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (before, _) = place
            .rsplit_once('/')
            .filter(|(before, _)| before.contains("//"))
            .context("the URL names no database")?;
        Ok(Self {
            before: before.to_owned(),
            after: query.to_owned(),
        })
    }

    fn url(&self, database: &str) -> String {
        format!("{}/{database}?{}", self.before, self.after)
    }

    async fn run(&self, statements: &[String]) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls).await?;
        let connection = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await?;
        }
        drop(client);
        Ok(connection.await??)
    }

    /// Makes a database with the rows that a workload runs on.
    async fn prepare(&self, corpus: &Corpus, scale: Scale, database: Database) -> Result<()> {
        let name = prepared(database);
        self.run(&[
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name}"),
        ])
        .await?;
        let store = AnyStateStore::open(self.url(&name), StoreOptions::default()).await?;
        fill(&store, corpus, scale, database).await?;
        let (client, connection) = tokio_postgres::connect(&self.url(&name), NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute("VACUUM ANALYZE").await?;
        drop(client);
        Ok(connection.await??)
    }

    /// Returns the database for a measurement: a copy where it is written to.
    async fn database(&self, workload: &Workload) -> Result<String> {
        let prepared = prepared(workload.database);
        if !workload.action.writes() {
            return Ok(prepared);
        }
        self.run(&[
            "DROP DATABASE IF EXISTS peers_written WITH (FORCE)".to_owned(),
            format!("CREATE DATABASE peers_written TEMPLATE {prepared}"),
            "CHECKPOINT".to_owned(),
        ])
        .await?;
        Ok("peers_written".to_owned())
    }
}

fn prepared(database: Database) -> String {
    format!("peers_{database:?}").to_lowercase()
}

/// What is measured, on databases that are prepared.
struct Comparison {
    server: Server,
    runtime: tokio::runtime::Runtime,
    scale: Scale,
    workloads: Vec<Workload>,
    rounds: usize,
    random: StdRng,
}

impl Comparison {
    fn new(arguments: &Arguments, url: &str, corpus: &Corpus, names: &[&str]) -> Result<Self> {
        let server = Server::new(url)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let (scale, rounds) = match arguments.tiny {
            true => (Scale::TINY, 1),
            false => (Scale::FULL, 5),
        };
        let workloads = chosen(arguments, names);
        ensure!(!workloads.is_empty(), "no such workload");
        for database in databases(&workloads) {
            runtime.block_on(server.prepare(corpus, scale, database))?;
        }
        Ok(Self {
            server,
            runtime,
            scale,
            workloads,
            rounds: arguments.rounds.unwrap_or(rounds),
            random: StdRng::seed_from_u64(arguments.seed.unwrap_or_else(rand::random)),
        })
    }
}

/// Compares the contestants on a server, and prints how they do.
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
    let json = arguments.json.as_ref().map(File::create).transpose()?;
    let mut lines = json.map(BufWriter::new);
    let mut reports: Vec<(usize, Report)> = Vec::new();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for workload in &workloads {
            let mut order = CONTESTANTS;
            order.shuffle(&mut random);
            let seed = random.random();
            for contestant in order {
                let job = Job {
                    contestant: contestant.to_owned(),
                    workload: workload.name.clone(),
                    path: directory.join("unused"),
                    data: arguments.data.clone(),
                    seconds: arguments.seconds.unwrap_or(0.7),
                    warm_up_seconds: if arguments.tiny { 0.0 } else { 0.1 },
                    operations: arguments.tiny.then_some(3),
                    scale,
                    seed,
                };
                let url = server.url(&runtime.block_on(server.database(workload))?);
                let report = measure(&job, &url)
                    .with_context(|| format!("{contestant} in {}", workload.name))?;
                if let Some(lines) = &mut lines {
                    let line = json!({ "kind": "measurement", "round": round, "report": report });
                    writeln!(lines, "{line}")?;
                }
                reports.push((round, report));
            }
        }
    }
    print(&workloads, &reports, scale);
    Ok(())
}

fn databases(workloads: &[Workload]) -> BTreeSet<Database> {
    workloads.iter().map(|chosen| chosen.database).collect()
}

fn chosen(arguments: &Arguments, workloads: &[&str]) -> Vec<Workload> {
    let is_wanted = |name: &str| {
        arguments.workload.is_empty() || arguments.workload.iter().any(|own| name.starts_with(own))
    };
    workloads
        .iter()
        .filter(|name| is_wanted(name))
        .filter_map(|name| Workload::find(name))
        .collect()
}

fn measure(job: &Job, url: &str) -> Result<Report> {
    // For the probe of the disk, which lies beside it.
    File::create(&job.path)?;
    match job.contestant.as_str() {
        OURS => ours(job, url),
        "sqlx" => run_asynchronous(job, "", |setup| SqlxPeer::open(url, setup)),
        _ => run_asynchronous(job, "", |setup| TokioPeer::open(url, setup)),
    }
}

/// Our store, at a place.
fn ours(job: &Job, place: &str) -> Result<Report> {
    run_asynchronous(job, "", |setup| async move {
        let options = StoreOptions::default().readers(CONNECTIONS);
        let store = AnyStateStore::open(place, options).await?;
        Descartes::over(store, setup, Way::Usual).await
    })
}

/// Operations, or rows of a bulk append, a second; of a single task by the median.
fn speed(workload: &Workload, report: &Report, scale: Scale) -> f64 {
    let unit = workload.action.unit(scale.bulk) as f64;
    unit * match workload.tasks {
        1 => 1e9 / report.p50 as f64,
        _ => report.operations as f64 / report.seconds,
    }
}

fn print(workloads: &[Workload], reports: &[(usize, Report)], scale: Scale) {
    println!("| workload | contestant | a second | p50 µs | p99 µs | speed against sqlx |");
    println!("|---|---|---|---|---|---|");
    for workload in workloads {
        let of = |contestant: &str| -> Vec<&(usize, Report)> {
            let is_own = |(_, report): &&(usize, Report)| {
                report.workload == workload.name && report.contestant == contestant
            };
            reports.iter().filter(is_own).collect()
        };
        for contestant in CONTESTANTS {
            let own = of(contestant);
            let median = |number: &dyn Fn(&Report) -> f64| {
                Spread::of(own.iter().map(|(_, report)| number(report)))
                    .map_or(0.0, |spread| spread.median)
            };
            let ratio = Spread::of(own.iter().zip(of("sqlx")).map(|((_, mine), (_, theirs))| {
                speed(workload, mine, scale) / speed(workload, theirs, scale)
            }));
            let ratio = ratio.map_or_else(String::new, |ratio| {
                format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max)
            });
            let unit = workload.action.unit(scale.bulk) as f64;
            let rate = median(&|report| unit * report.operations as f64 / report.seconds);
            println!(
                "| {} | {contestant} | {rate:.0} | {:.0} | {:.0} | {ratio} |",
                workload.name,
                median(&|report| report.p50 as f64 / 1e3),
                median(&|report| report.p99 as f64 / 1e3),
            );
        }
    }
}
