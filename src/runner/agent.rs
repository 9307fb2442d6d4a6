use std::fmt;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};
use tokio::process::{ChildStderr, ChildStdout};
use uuid::Uuid;

/// What the runner knows of an agent at one moment. It does not change afterwards: ask again for news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentInfo {
    /// The runner's own id of this run, a version 7 UUID.
    pub id: Uuid,
    /// The name that the command set, by default the program's file name.
    pub name: String,
    /// How far it has come.
    pub status: AgentStatus,
    /// When it was started, in Unix seconds.
    pub started_at: i64,
    /// What the agent thinks with, as the command said; `"local"` by default.
    pub model_backend: String,
    /// The id of its process while it runs, `None` afterwards: the number may then belong to another process.
    pub pid: Option<u32>,
    /// What lives on of the processes that it had started when it was ended: out of [reach](super::Reach), or of another
    /// user; each as its name and process number. Empty before an ending, with [`Reach::Process`](super::Reach::Process),
    /// and elsewhere than on Linux.
    pub survivors: Vec<String>,
}

/// How far an agent has come.
///
/// ```
/// use descartes_state::AgentStatus;
///
/// assert_eq!(AgentStatus::Completed.as_str(), "completed");
/// assert_eq!(format!("{:?}", AgentStatus::Completed), "Completed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AgentStatus {
    /// Started and not known to have ended.
    Running,
    /// Ended by itself with exit code 0.
    Completed,
    /// Ended with another exit code, or by a signal that the runner did not send.
    Failed,
    /// Ended because the runner asked: after a kill, by a signal sent through the runner, or with the runner itself.
    Terminated,
}

impl AgentStatus {
    /// Returns the status in lower case, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
        }
    }
}

impl fmt::Display for AgentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How an agent ended.
///
/// `code` and `signal` are both `None` when the end could not be seen: the tokio runtime shut down first, or the
/// program around the runner ignores SIGCHLD, so that the operating system keeps no exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentExit {
    /// What the end means; never [`AgentStatus::Running`].
    pub status: AgentStatus,
    /// The exit code, if the agent exited.
    pub code: Option<i32>,
    /// The number of the signal that ended it, if one did (Unix only).
    pub signal: Option<i32>,
}

impl AgentExit {
    /// The supervisor went away with its runtime; it killed the agent, but nobody saw it end.
    pub(super) const UNSEEN: Self = Self {
        status: AgentStatus::Terminated,
        code: None,
        signal: None,
    };

    /// `sent` holds the signals that the runner sent, other than those of a kill.
    pub(super) fn new(exit: Option<ExitStatus>, killed: bool, sent: &[i32]) -> Self {
        let code = exit.and_then(|exit| exit.code());
        let signal = exit.and_then(signal_of);
        let status = if killed || signal.is_some_and(|signal| sent.contains(&signal)) {
            AgentStatus::Terminated
        } else if code == Some(0) {
            AgentStatus::Completed
        } else {
            AgentStatus::Failed
        };
        Self {
            status,
            code,
            signal,
        }
    }
}

#[cfg(unix)]
fn signal_of(exit: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&exit)
}

#[cfg(not(unix))]
fn signal_of(_exit: ExitStatus) -> Option<i32> {
    None
}

/// A signal that can be passed on to an agent. See [`LocalProcessRunner::signal`](super::LocalProcessRunner::signal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentSignal {
    /// SIGINT, what ctrl-c sends.
    Interrupt,
    /// SIGTERM, the polite request to end.
    Terminate,
    /// SIGHUP, sent when a terminal closes; many programs read their configuration again.
    Hangup,
    /// SIGQUIT, what ctrl-\ sends.
    Quit,
    /// SIGUSR1, which means what the program says.
    User1,
    /// SIGUSR2, likewise.
    User2,
    /// SIGTSTP, what ctrl-z sends: the request to stop for a while.
    Stop,
    /// SIGCONT: the end of such a stop.
    Continue,
    /// SIGKILL, for the agent and what its [reach](super::Reach) covers: the end of a grace.
    Kill,
}

/// The reading ends of an agent's output. See [`LocalProcessRunner::take_output`](super::LocalProcessRunner::take_output).
#[derive(Debug)]
#[non_exhaustive]
pub struct AgentOutput {
    /// What the agent writes to its standard output.
    pub stdout: ChildStdout,
    /// What the agent writes to its standard error.
    pub stderr: ChildStderr,
}
