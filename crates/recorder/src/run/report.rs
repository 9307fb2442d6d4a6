//! What a run tells: at once, at its end, and where it can't be recorded.

use std::fmt;
use std::time::Duration;

use descartes_state::{RunnerError, SessionStatus};
use tokio::task::JoinError;

use super::signals::Caught;
use crate::entries::Unstructured;
use crate::lines::Stream;

/// Something that a run tells at once.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The store failed: what comes is kept in memory, and tried again.
    Delayed {
        /// What the store said.
        reason: String,
    },
    /// All that was kept in memory is written.
    Resumed {
        /// How many events are lost.
        lost: u64,
    },
    /// Something is lost: the store failed for too long, or for good. The command goes on. It is told once.
    RecordingStopped {
        /// What the store said.
        reason: String,
    },
    /// The command has exited, and others hold its output open: they go on, and what they write is no longer recorded.
    HeldOpen {
        /// Who, as far as the system tells: name and process number.
        by: Vec<String>,
    },
    /// The command was ended, and what it had started lives on: out of reach, or of another user.
    Survived {
        /// Who: name and process number.
        names: Vec<String>,
    },
    /// The command could not be signalled.
    NotSignalled(RunnerError),
    /// A stream of the command could not be read, or not be passed on.
    StreamTrouble {
        /// Which stream.
        stream: Stream,
        /// What is the matter with it.
        trouble: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delayed { reason } => {
                write!(
                    formatter,
                    "the store can't be written now, lines are kept in memory: {reason}"
                )
            }
            Self::Resumed { lost: 0 } => {
                formatter.write_str("the store is written again, nothing is lost")
            }
            Self::Resumed { lost } => {
                write!(
                    formatter,
                    "the store is written again, {lost} events are lost"
                )
            }
            Self::RecordingStopped { reason } => {
                write!(
                    formatter,
                    "recording stopped, the command goes on: {reason}"
                )
            }
            Self::HeldOpen { by } => write!(
                formatter,
                "output is still held open by {}, which go on; what they write is no longer recorded",
                by.join(", ")
            ),
            Self::Survived { names } => write!(
                formatter,
                "the command was ended, {} that it had started could not be, and go on",
                names.join(", ")
            ),
            Self::NotSignalled(error) => formatter.write_str(&whole_text(error)),
            Self::StreamTrouble { stream, trouble } => {
                let name = match stream {
                    Stream::Stdout => "standard output",
                    Stream::Stderr => "standard error",
                    Stream::Terminal | Stream::Screen => "the terminal",
                };
                write!(formatter, "{name} {trouble}")
            }
        }
    }
}

/// Returns the text of a runner's error, with what the operating system answered.
#[must_use]
pub fn whole_text(error: &RunnerError) -> String {
    let text = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    shortened(text)
}

/// The most bytes of a reason: a program's name may have any number.
const REASON: usize = 2000;

/// Cuts the middle out of a text that is too long: its end says most.
fn shortened(text: String) -> String {
    if text.len() <= REASON {
        return text;
    }
    let mut begin = REASON / 2;
    while !text.is_char_boundary(begin) {
        begin -= 1;
    }
    let mut end = text.len() - REASON / 2;
    while !text.is_char_boundary(end) {
        end += 1;
    }
    format!("{} … {}", &text[..begin], &text[end..])
}

/// What became of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The agent.
    pub agent_id: String,
    /// The run's own session.
    pub session_id: String,
    /// How the session ended.
    pub status: SessionStatus,
    /// Why, as the last transition has it.
    pub reason: String,
    /// The command's exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The same, where a person typed it (ctrl-c). Who recorded the command ends by it too ([`helper::end_by`]), or a shell's
    /// loop around it would go on.
    ///
    /// [`helper::end_by`]: crate::helper::end_by
    pub key_signal: Option<i32>,
    /// What became of its standard output.
    pub stdout: StreamReport,
    /// What became of its standard error.
    pub stderr: StreamReport,
    /// The snapshot of its end, if it could be made.
    pub snapshot_id: Option<String>,
    /// Sessions that its lines named.
    pub named_sessions: usize,
    /// Lines that begin like objects, and could not be used as such.
    pub unstructured: Unstructured,
    /// Who still held its output open when recording ended.
    pub held_by: Vec<String>,
    /// What the command had started and what lives on after it was ended.
    pub survivors: Vec<String>,
    /// Events that were recorded as they came.
    pub events: u64,
    /// Events that were recorded later, since the store failed at first.
    pub late_events: u64,
    /// Transitions that were recorded.
    pub transitions: u64,
    /// Events that could not be recorded.
    pub lost_events: u64,
    /// Whether the run's end is in the store.
    pub is_end_recorded: bool,
    /// Why something was recorded late, or could not be recorded.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// What became of one stream of the command. The output of a terminal of its own is all on the first.
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamReport {
    /// How many lines it had.
    pub lines: u64,
    /// Whether the last of what was passed on was the end of a line.
    pub ends_with_line: bool,
    /// What went wrong with it.
    pub trouble: Option<String>,
}

impl Default for StreamReport {
    fn default() -> Self {
        Self {
            lines: 0,
            ends_with_line: true,
            trouble: None,
        }
    }
}

impl Report {
    /// Returns whether the store has everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost_events == 0 && self.is_end_recorded
    }

    /// Returns the command's exit code as a shell returns it: 128 + n where signal n ended it.
    #[must_use]
    pub fn code(&self) -> u8 {
        const UNSEEN: i32 = 1;
        let code = match (self.exit_code, self.signal) {
            (Some(code), _) => code,
            (None, Some(signal)) => signal.saturating_add(128),
            (None, None) => UNSEEN,
        };
        u8::try_from(code & 0xFF).unwrap_or(u8::MAX)
    }
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The command could not be started.
    #[error("{}", whole_text(error))]
    NotStarted {
        /// Why.
        error: RunnerError,
        /// Whether the store keeps that.
        is_recorded: bool,
    },
    /// The command's process could not be watched.
    #[error("{}", whole_text(.0))]
    NotWatched(RunnerError),
    /// A second signal came before everything was recorded.
    #[error("{} for the second time: not everything is recorded", .0.name)]
    Interrupted(Caught),
    /// A task of the recorder panicked.
    #[error("recording broke off: {0}")]
    Broken(JoinError),
}
