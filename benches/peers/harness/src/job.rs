//! What the driver tells a contestant's process, and what it hears back: one line of JSON each.

use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::corpus::Corpus;
use crate::inputs::Inputs;
use crate::workload::{Action, Workload};

/// How large the prepared files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Agents in the small file.
    pub agents: usize,
    /// Agents in the large one.
    pub listed: usize,
    /// Transitions of each busy agent; half as many of all others together.
    pub transitions: usize,
    /// Events in the file that is searched.
    pub events: usize,
    /// Events in the file that is appended to where there are many.
    pub many_events: usize,
    /// Events in one bulk append.
    pub bulk: usize,
}

impl Scale {
    pub const FULL: Self = Self {
        agents: 1000,
        listed: 10_000,
        transitions: 5000,
        events: 100_000,
        many_events: 1_000_000,
        bulk: 10_000,
    };
    pub const TINY: Self = Self {
        agents: 520,
        listed: 300,
        transitions: 150,
        events: 2000,
        many_events: 3000,
        bulk: 300,
    };
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub contestant: String,
    pub workload: String,
    /// A file of its own, that is the contestant's to write.
    pub path: PathBuf,
    pub data: Option<PathBuf>,
    pub seconds: f64,
    /// Unmeasured time before.
    pub warm_up_seconds: f64,
    /// At the most so many operations of each task.
    pub operations: Option<u64>,
    pub scale: Scale,
    pub seed: u64,
}

/// What a contestant works with.
#[derive(Debug, Clone)]
pub struct Setup {
    pub path: PathBuf,
    pub workload: Workload,
    pub inputs: Arc<Inputs>,
    /// Whether large states are to be compressed.
    pub compress: bool,
}

impl Job {
    /// # Errors
    /// For a workload that isn't known, or data that can't be read.
    pub fn setup(&self) -> Result<Setup> {
        let workload = Workload::find(&self.workload)
            .with_context(|| format!("there is no workload {:?}", self.workload))?;
        let corpus = Corpus::load(self.data.as_deref())?;
        Ok(Setup {
            path: self.path.clone(),
            inputs: Arc::new(Inputs::new(&corpus, &workload, self.scale)),
            compress: matches!(workload.action, Action::Save { compress: true, .. }),
            workload,
        })
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// Writes that the contestant was told are done. The driver looks for them in the file afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Each raises an agent's revision by one.
    pub agents: u64,
    pub transitions: u64,
    pub events: u64,
    /// Each raises a task's revision by one.
    pub tasks: u64,
}

impl AddAssign for Acknowledged {
    fn add_assign(&mut self, other: Self) {
        self.agents += other.agents;
        self.transitions += other.transitions;
        self.events += other.events;
        self.tasks += other.tasks;
    }
}

/// What was measured. Times in nanoseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub contestant: String,
    pub workload: String,
    pub sqlite: String,
    pub operations: u64,
    pub seconds: f64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
    /// Of user and system, of all threads.
    pub cpu_seconds: f64,
    /// Of the file and its log, before they are closed.
    pub bytes: u64,
    /// Median of an append and fdatasync in this process, which may be slowed down.
    pub fsync: u64,
    pub acknowledged: Acknowledged,
    pub ticker: Option<TickerReport>,
}

/// By how much the ticking task ran late, in nanoseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TickerReport {
    pub ticks: u64,
    pub p50: u64,
    pub p99: u64,
    pub worst: u64,
}
