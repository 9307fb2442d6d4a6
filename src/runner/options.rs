use std::time::Duration;

use tokio::sync::Semaphore;

use super::RunnerError;

/// The settings of a [`LocalProcessRunner`](super::LocalProcessRunner).
///
/// ```
/// use descartes_state::{LocalProcessRunner, RunnerOptions};
/// use std::time::Duration;
///
/// let options = RunnerOptions::default().max_agents(8).kill_grace(Duration::from_secs(1));
/// let runner = LocalProcessRunner::new(options)?;
/// # Ok::<(), descartes_state::RunnerError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunnerOptions {
    pub(super) max_agents: usize,
    pub(super) kill_grace: Duration,
    pub(super) adopts_orphans: bool,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            max_agents: 1024,
            kill_grace: Duration::from_secs(5),
            adopts_orphans: false,
        }
    }
}

impl RunnerOptions {
    /// Sets how many agents may run at once; 1024 unless set. Agents that have ended do not count.
    #[must_use]
    pub fn max_agents(mut self, agents: usize) -> Self {
        self.max_agents = agents;
        self
    }

    /// Sets how long a killed agent has between SIGTERM and SIGKILL; 5 seconds unless set.
    ///
    /// With zero, SIGKILL follows at once.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// Makes this program the parent of what its agents' descendants leave behind (a child subreaper, prctl(2); Linux), so
    /// that [`Reach::Descendants`](super::Reach::Descendants) reaches them, and they are reaped; no, unless set.
    ///
    /// Other children of this program are taken for such orphans, unless they are
    /// [spared](super::LocalProcessRunner::spare).
    /// While several agents run, nobody knows whose an orphan is, and it is left alone.
    #[must_use]
    pub fn adopt_orphans(mut self, adopts: bool) -> Self {
        self.adopts_orphans = adopts;
        self
    }

    pub(super) fn checked(mut self) -> Result<Self, RunnerError> {
        if self.max_agents == 0 {
            return Err(RunnerError::invalid(
                "max_agents",
                "0 would let no agent run; it must be at least 1",
            ));
        }
        // A semaphore panics above its own bound, and no machine runs that many processes.
        self.max_agents = self.max_agents.min(Semaphore::MAX_PERMITS);
        Ok(self)
    }
}
