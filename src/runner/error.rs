use std::ffi::OsString;
use std::io;

use uuid::Uuid;

/// Why the runner could not do what was asked.
///
/// Where the operating system says why, it is the [`source`](std::error::Error::source) and is not repeated in
/// the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// A value that cannot be used. Nothing was started.
    #[error("invalid {field}: {reason}")]
    InvalidInput {
        /// The option or the part of the command that holds the value.
        field: &'static str,
        /// What is wrong with it, and what it must be.
        reason: String,
    },

    /// There is no such program, or its `#!` line names an interpreter that does not exist. A shell would exit with 127.
    #[error(
        "program {program:?} was not found; check its spelling, PATH and, for a script, the interpreter in its first line"
    )]
    ProgramNotFound {
        /// The program as the caller named it.
        program: OsString,
        /// What the operating system answered.
        source: io::Error,
    },

    /// The program exists but may not or cannot be executed. A shell would exit with 126.
    #[error(
        "program {program:?} cannot be executed; check that it is a program or a script with a `#!` line, and its permissions"
    )]
    NotExecutable {
        /// The program as the caller named it.
        program: OsString,
        /// What the operating system answered.
        source: io::Error,
    },

    /// The operating system could not start the program for another reason, such as a limit on processes or memory.
    #[error(
        "program {program:?} could not be started; remove the cause that the operating system reported and spawn it again"
    )]
    Spawn {
        /// The program as the caller named it.
        program: OsString,
        /// What the operating system answered.
        source: io::Error,
    },

    /// As many agents as the runner allows are running.
    #[error(
        "{limit} agents are running, which is the limit; wait for one to end or raise RunnerOptions::max_agents"
    )]
    TooManyAgents {
        /// [`RunnerOptions::max_agents`](super::RunnerOptions::max_agents).
        limit: usize,
    },

    /// A child process can only be watched from inside a tokio runtime.
    #[error(
        "no tokio runtime is running here; call spawn from a task of a runtime built with enable_all"
    )]
    NoRuntime,

    /// This runner never started the agent, or has forgotten it.
    #[error(
        "agent {id} is unknown to this runner; use an id from spawn or list_agents that was not forgotten"
    )]
    UnknownAgent {
        /// The id that the caller named.
        id: Uuid,
    },

    /// A running agent cannot be forgotten: nobody could kill it any more.
    #[error("agent {id} is still running; kill it or wait for its end before forgetting it")]
    StillRunning {
        /// The agent.
        id: Uuid,
    },

    /// The agent's output is not a pipe.
    #[error(
        "the output of agent {id} is not piped; spawn it with AgentCommand::output(Output::Piped)"
    )]
    OutputNotPiped {
        /// The agent.
        id: Uuid,
    },

    /// The agent's output has an owner already.
    #[error(
        "the output of agent {id} was taken before: it can be taken once, so share it from the first taker"
    )]
    OutputTaken {
        /// The agent.
        id: Uuid,
    },

    /// The operating system refused to signal the agent, for example because it changed to another user.
    #[error(
        "agent {id} could not be signalled and may still be running; end it with the rights of the user it runs as"
    )]
    NotSignalled {
        /// The agent.
        id: Uuid,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl RunnerError {
    /// Sorts out why the operating system did not start a program: it isn't there, it can't be executed, or another reason.
    ///
    /// ```
    /// use descartes_state::RunnerError;
    ///
    /// let error = RunnerError::not_started("planer", std::io::ErrorKind::NotFound.into());
    /// assert!(matches!(error, RunnerError::ProgramNotFound { .. }));
    /// ```
    #[must_use]
    pub fn not_started(program: impl Into<OsString>, source: io::Error) -> Self {
        let program = program.into();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::ProgramNotFound { program, source }
            }
            io::ErrorKind::PermissionDenied => Self::NotExecutable { program, source },
            _ if is_format_error(&source) => Self::NotExecutable { program, source },
            _ => Self::Spawn { program, source },
        }
    }

    pub(super) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidInput {
            field,
            reason: reason.into(),
        }
    }
}

#[cfg(unix)]
fn is_format_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
}

#[cfg(not(unix))]
fn is_format_error(error: &io::Error) -> bool {
    const ERROR_BAD_EXE_FORMAT: i32 = 193;
    error.raw_os_error() == Some(ERROR_BAD_EXE_FORMAT)
}
