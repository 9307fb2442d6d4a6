//! A contestant's process.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::{Job, Report};

/// No measurement takes that long; a contestant that does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Child(Command);

impl Child {
    pub(crate) fn new(executable: &Path, job: &Job) -> Result<Self> {
        Self::with(executable, "contestant", job, None)
    }

    /// Our store, at a place.
    #[cfg(feature = "server")]
    pub(crate) fn writer(executable: &Path, job: &Job, place: &str) -> Result<Self> {
        Self::with(executable, "writer", job, Some(place))
    }

    fn with(executable: &Path, verb: &str, job: &Job, place: Option<&str>) -> Result<Self> {
        let mut command = Command::new(executable);
        command
            .arg(verb)
            .arg(serde_json::to_string(job)?)
            .args(place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(Self(command))
    }

    /// Makes each fsync take longer by so many microseconds.
    pub(crate) fn slow_fsync(&mut self, library: &Path, microseconds: u64) {
        self.0
            .env("LD_PRELOAD", library)
            .env("SLOW_FSYNC_MICROSECONDS", microseconds.to_string());
    }

    /// Runs it to its end; what it printed is its report.
    pub(crate) fn run(&mut self) -> Result<Report> {
        let mut child = self.0.spawn().context("starting the contestant")?;
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take())
        else {
            bail!("it has no output");
        };
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut output = String::new();
            let read = stdout.read_to_string(&mut output).map(|_| output);
            // Nobody hears it where patience has run out.
            let _ = sender.send(read);
        });
        let Ok(output) = ended.recv_timeout(PATIENCE) else {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {PATIENCE:?}");
        };
        let output = output?;
        let mut errors = String::new();
        // An error fits into the pipe, so that it can be read last.
        stderr.read_to_string(&mut errors)?;
        let status = child.wait()?;
        ensure!(status.success(), "{status}: {}", errors.trim());
        serde_json::from_str(&output).with_context(|| format!("its report: {output:?}"))
    }
}
