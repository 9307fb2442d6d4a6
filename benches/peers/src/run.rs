//! The rounds: every contestant once in each, in random order, on a fresh copy of the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::{Database, Job, Report, Workload, forget_cached_pages, fsync_probe};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::child::Child;
use crate::extras::{build_slow_fsync, build_sqlx};
use crate::files;
use crate::plan::Plan;
use crate::prepare::Prepared;
use crate::results::{Measurement, Results};
use crate::verify::{self, Indexing};

pub(crate) struct Runner<'r> {
    plan: &'r Plan,
    prepared: &'r BTreeMap<Database, Prepared>,
    directory: &'r Path,
    data: Option<PathBuf>,
    seed: u64,
    executables: Executables,
    /// Files that are only read are copied once.
    read_only: BTreeSet<Database>,
}

struct Executables {
    own: PathBuf,
    sqlx: Option<PathBuf>,
    slow_fsync: Option<PathBuf>,
}

impl Executables {
    /// Builds what the plan needs.
    fn build(plan: &Plan) -> Result<Self> {
        let has_sqlx = plan.contestants.iter().any(|name| name == "sqlx");
        let is_slowed = plan
            .workloads
            .iter()
            .any(|workload| workload.slower_fsync > 0);
        Ok(Self {
            own: env::current_exe()?,
            sqlx: has_sqlx.then(build_sqlx).transpose()?,
            slow_fsync: is_slowed.then(build_slow_fsync).transpose()?,
        })
    }

    fn of(&self, contestant: &str) -> &Path {
        match (&self.sqlx, contestant) {
            (Some(sqlx), "sqlx") => sqlx,
            _ => &self.own,
        }
    }
}

impl<'r> Runner<'r> {
    pub(crate) fn new(
        plan: &'r Plan,
        prepared: &'r BTreeMap<Database, Prepared>,
        directory: &'r Path,
        data: Option<PathBuf>,
        seed: u64,
    ) -> Result<Self> {
        Ok(Self {
            plan,
            prepared,
            directory,
            data,
            seed,
            executables: Executables::build(plan)?,
            read_only: BTreeSet::new(),
        })
    }

    /// Runs everything; each measurement is in the file as soon as it is there.
    pub(crate) fn run(&mut self, lines: &mut BufWriter<File>) -> Result<Results> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut results = Results::default();
        for round in 0..self.plan.rounds {
            eprintln!("round {} of {}", round + 1, self.plan.rounds);
            for workload in &self.plan.workloads {
                let mut order: Vec<&str> = self.plan.contestants_in(workload).collect();
                order.shuffle(&mut random);
                let seed = random.random();
                for contestant in order {
                    let measurement = self.measure(round, workload, contestant, seed)?;
                    if let Some(error) = &measurement.error {
                        eprintln!("ERROR: {contestant} in {}: {error}", workload.name);
                    }
                    serde_json::to_writer(&mut *lines, &measurement)?;
                    lines.write_all(b"\n")?;
                    lines.flush()?;
                    results.add(measurement);
                }
            }
        }
        Ok(results)
    }

    /// What goes wrong in the contestant is part of the measurement; what goes wrong here ends the run.
    fn measure(
        &mut self,
        round: usize,
        workload: &Workload,
        contestant: &str,
        seed: u64,
    ) -> Result<Measurement> {
        let prepared = self
            .prepared
            .get(&workload.database)
            .context("the file was not prepared")?;
        let path = self.copy(workload, prepared)?;
        let job = Job {
            contestant: contestant.to_owned(),
            workload: workload.name.clone(),
            path: path.clone(),
            data: self.data.clone(),
            seconds: self.plan.seconds_of(workload),
            warm_up_seconds: self.plan.warm_up_seconds,
            operations: match workload.tasks {
                1 => self.plan.operations,
                _ => self.plan.operations.map(|_| 1),
            },
            scale: self.plan.scale,
            seed,
        };
        let fsync_before = fsync_probe(self.directory, self.plan.probes)?;
        let report = self.run_child(workload, &job);
        let fsync_after = fsync_probe(self.directory, self.plan.probes)?;
        let checked = report.as_ref().map_or(Ok(()), |report| {
            verify::check(
                prepared.contents,
                &path,
                report.acknowledged,
                Indexing::of(contestant, workload),
            )?;
            verify::check_steps(&prepared.path, &path, workload)
        });
        let error = match (&report, &checked) {
            (Err(error), _) | (Ok(_), Err(error)) => Some(format!("{error:#}")),
            (Ok(_), Ok(())) => None,
        };
        Ok(Measurement {
            kind: "measurement",
            round,
            workload: workload.name.clone(),
            contestant: contestant.to_owned(),
            fsync_before,
            fsync_after,
            report: report.ok(),
            error,
        })
    }

    /// A copy to write to; one for all where nobody writes.
    fn copy(&mut self, workload: &Workload, prepared: &Prepared) -> Result<PathBuf> {
        if !workload.action.writes() {
            let name = format!("read-only-{:?}.db", workload.database).to_lowercase();
            let path = self.directory.join(name);
            if self.read_only.insert(workload.database) {
                files::copy(&prepared.path, &path)?;
            }
            return Ok(path);
        }
        let path = self.directory.join("contestant.db");
        files::copy(&prepared.path, &path)?;
        if workload.is_cold {
            forget_cached_pages(&path)?;
        }
        Ok(path)
    }

    fn run_child(&self, workload: &Workload, job: &Job) -> Result<Report> {
        let mut child = Child::new(self.executables.of(&job.contestant), job)?;
        if workload.slower_fsync > 0 {
            let library = self
                .executables
                .slow_fsync
                .as_deref()
                .context("slow-fsync was not built")?;
            child.slow_fsync(library, workload.slower_fsync);
        }
        let report = child.run()?;
        anyhow::ensure!(
            report.fsync >= workload.slower_fsync * 1000,
            "fsync was to take {} µs longer, and took {} µs",
            workload.slower_fsync,
            report.fsync / 1000
        );
        Ok(report)
    }
}
