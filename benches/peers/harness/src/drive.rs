//! Runs a contestant: unmeasured first, then measured.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use crate::job::{Acknowledged, Job, Report, Setup, TickerReport};
use crate::measure::{Latencies, bytes_on_disk, cpu_seconds, fsync_probe};
use crate::operation::{Chooser, Operation};
use crate::ticker::Ticker;
use crate::workload::Action;

/// An asynchronous store. Clones share it.
pub trait Contestant: Clone + Send + Sync + 'static {
    /// Does one operation; returns the rows written or decoded. A write is durable when it returns.
    fn perform(&self, operation: Operation) -> impl Future<Output = Result<usize>> + Send;

    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// A store on one thread, whatever number of tasks the workload has.
pub trait Synchronous {
    /// How many operations share a commit.
    fn batch(&self) -> usize;

    /// Does operations in one transaction; returns the rows written or decoded by each.
    ///
    /// # Errors
    /// The store's own.
    fn perform(&mut self, operations: &mut Vec<Operation>) -> Result<Vec<usize>>;
}

/// Until when.
#[derive(Debug, Clone, Copy)]
struct Limit {
    duration: Duration,
    operations: Option<u64>,
}

/// What one task, or all, did.
#[derive(Debug, Default)]
struct Tally {
    latencies: Latencies,
    acknowledged: Acknowledged,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.latencies.append(other.latencies);
        self.acknowledged += other.acknowledged;
    }
}

/// Runs an asynchronous contestant on a runtime of two workers.
///
/// # Errors
/// The contestant's first.
pub fn run_asynchronous<C, Open, Opening>(job: &Job, sqlite: &str, open: Open) -> Result<Report>
where
    C: Contestant,
    Open: FnOnce(Setup) -> Opening,
    Opening: Future<Output = Result<C>>,
{
    let setup = job.setup()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let contestant = open(setup.clone()).await.context("opening")?;
        let choosers = choosers(job, &setup);
        let mut phases = Phases::new(job, &setup);
        let (choosers, warm) = crowd(&contestant, choosers, phases.warm_up).await?;
        phases.start(warm)?;
        let ticker = (setup.workload.action == Action::Ticker).then(Ticker::start);
        let (_, measured) = crowd(&contestant, choosers, phases.measured).await?;
        phases.stop(measured)?;
        if let Some(ticker) = ticker {
            phases.ticker = Some(ticker.finish().await?);
        }
        let report = phases.report(job, sqlite)?;
        contestant.close().await.context("closing")?;
        Ok(report)
    })
}

/// Runs a contestant on this thread; each task's operations by turns.
///
/// # Errors
/// The contestant's first.
pub fn run_synchronous<S: Synchronous>(
    job: &Job,
    sqlite: &str,
    open: impl FnOnce(Setup) -> Result<S>,
) -> Result<Report> {
    let setup = job.setup()?;
    let mut contestant = open(setup.clone()).context("opening")?;
    let mut choosers = choosers(job, &setup);
    let mut phases = Phases::new(job, &setup);
    let warm = in_turn(&mut contestant, &mut choosers, phases.warm_up)?;
    phases.start(warm)?;
    let measured = in_turn(&mut contestant, &mut choosers, phases.measured)?;
    phases.stop(measured)?;
    phases.report(job, sqlite)
}

fn choosers(job: &Job, setup: &Setup) -> Vec<Chooser> {
    (0..setup.workload.tasks)
        .map(|task| Chooser::new(&setup.inputs, &setup.workload, job.seed, task))
        .collect()
}

/// Runs every chooser in a task of its own.
async fn crowd<C: Contestant>(
    contestant: &C,
    choosers: Vec<Chooser>,
    limit: Limit,
) -> Result<(Vec<Chooser>, Tally)> {
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for chooser in choosers {
        let contestant = contestant.clone();
        crowd.spawn(async move {
            let mut chooser = chooser;
            let tally = one_of_many(&contestant, &mut chooser, start, limit).await?;
            anyhow::Ok((chooser, tally))
        });
    }
    let mut choosers = Vec::new();
    let mut all = Tally::default();
    while let Some(ended) = crowd.join_next().await {
        let (chooser, tally) = ended??;
        choosers.push(chooser);
        all.add(tally);
    }
    Ok((choosers, all))
}

async fn one_of_many<C: Contestant>(
    contestant: &C,
    chooser: &mut Chooser,
    start: Instant,
    limit: Limit,
) -> Result<Tally> {
    let mut tally = Tally::default();
    while start.elapsed() < limit.duration
        && limit
            .operations
            .is_none_or(|most| tally.latencies.len() < most)
    {
        let operation = chooser.choose();
        let (wanted, writes) = (operation.rows(chooser.inputs()), operation.writes());
        let began = Instant::now();
        let rows = contestant.perform(operation).await?;
        tally.latencies.record(began.elapsed());
        ensure!(rows == wanted, "{rows} rows, not {wanted}");
        tally.acknowledged += writes;
    }
    Ok(tally)
}

fn in_turn<S: Synchronous>(
    contestant: &mut S,
    choosers: &mut [Chooser],
    limit: Limit,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let most = limit
        .operations
        .map(|operations| operations * choosers.len() as u64);
    let start = Instant::now();
    let mut next = 0;
    while start.elapsed() < limit.duration && most.is_none_or(|most| tally.latencies.len() < most) {
        let mut operations = Vec::with_capacity(contestant.batch());
        let mut wanted = Vec::with_capacity(contestant.batch());
        for _ in 0..contestant.batch() {
            let chooser = &mut choosers[next];
            let operation = chooser.choose();
            wanted.push(operation.rows(chooser.inputs()));
            tally.acknowledged += operation.writes();
            operations.push(operation);
            next = (next + 1) % choosers.len();
        }
        let began = Instant::now();
        let rows = contestant.perform(&mut operations)?;
        // Nobody has an answer before the commit: all waited for as long.
        let latency = began.elapsed();
        ensure!(rows == wanted, "{rows:?} rows, not {wanted:?}");
        wanted.iter().for_each(|_| tally.latencies.record(latency));
    }
    Ok(tally)
}

/// The two phases of a run, and what lies between them.
struct Phases<'j> {
    setup: &'j Setup,
    warm_up: Limit,
    measured: Limit,
    started: Instant,
    seconds: f64,
    cpu_seconds: f64,
    acknowledged: Acknowledged,
    latencies: Latencies,
    ticker: Option<TickerReport>,
}

impl<'j> Phases<'j> {
    fn new(job: &Job, setup: &'j Setup) -> Self {
        // A file that is to be cold must not be warmed up.
        let warm_up = if setup.workload.is_cold {
            Duration::ZERO
        } else {
            job.warm_up()
        };
        let limit = |duration| Limit {
            duration,
            operations: job.operations,
        };
        Self {
            setup,
            warm_up: limit(warm_up),
            measured: limit(job.duration()),
            started: Instant::now(),
            seconds: 0.0,
            cpu_seconds: 0.0,
            acknowledged: Acknowledged::default(),
            latencies: Latencies::default(),
            ticker: None,
        }
    }

    fn start(&mut self, warm: Tally) -> Result<()> {
        self.acknowledged += warm.acknowledged;
        self.cpu_seconds = cpu_seconds()?;
        self.started = Instant::now();
        Ok(())
    }

    fn stop(&mut self, measured: Tally) -> Result<()> {
        self.seconds = self.started.elapsed().as_secs_f64();
        self.cpu_seconds = cpu_seconds()? - self.cpu_seconds;
        self.acknowledged += measured.acknowledged;
        self.latencies = measured.latencies;
        Ok(())
    }

    fn report(&self, job: &Job, sqlite: &str) -> Result<Report> {
        let histogram = self.latencies.histogram()?;
        ensure!(self.latencies.len() > 0, "no operation ended in time");
        Ok(Report {
            contestant: job.contestant.clone(),
            workload: job.workload.clone(),
            sqlite: sqlite.to_owned(),
            operations: self.latencies.len(),
            seconds: self.seconds,
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
            cpu_seconds: self.cpu_seconds,
            bytes: bytes_on_disk(&self.setup.path)?,
            fsync: fsync_probe(job.directory(), 10)?,
            acknowledged: self.acknowledged,
            ticker: self.ticker,
        })
    }
}
