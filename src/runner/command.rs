use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{Reach, RunnerError};

/// Where an agent's standard output and standard error go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// To where this program's own go.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// Into two pipes for [`LocalProcessRunner::take_output`](super::LocalProcessRunner::take_output).
    ///
    /// Both must be read: a pipe holds little (64 KiB on Linux), and an agent that has filled one stops until it is read.
    Piped,
}

/// What an agent reads as its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Input {
    /// This program's own standard input.
    Inherit,
    /// Nothing: its end at once.
    #[default]
    Null,
}

/// A program to run as an agent.
///
/// The program is found and the environment inherited as [`std::process::Command`] does; no shell is involved, so
/// arguments need no quoting. `Debug` shows the names of environment variables without their values, which are often
/// secrets.
///
/// ```
/// use descartes_state::AgentCommand;
/// use descartes_state::runner::Output;
///
/// let command = AgentCommand::new("python3")
///     .args(["-m", "planner"])
///     .name("planner-1")
///     .model_backend("anthropic")
///     .env("LOG_LEVEL", "debug")
///     .output(Output::Piped);
/// ```
#[derive(Clone)]
#[must_use = "a command does nothing until it is passed to LocalProcessRunner::spawn"]
#[non_exhaustive]
pub struct AgentCommand {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
    output: Output,
    stdin: Input,
    reach: Reach,
    name: String,
    model_backend: String,
}

impl AgentCommand {
    /// Runs `program`: a path, or a name to look for in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        let program = program.into();
        let name = Path::new(&program)
            .file_name()
            .unwrap_or(&program)
            .to_string_lossy()
            .into_owned();
        Self {
            program,
            args: Vec::new(),
            env: Vec::new(),
            current_dir: None,
            output: Output::default(),
            stdin: Input::default(),
            reach: Reach::default(),
            name,
            model_backend: "local".to_owned(),
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Names the agent; the program's file name unless set. Names need not be unique.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says what the agent thinks with; `"local"` unless set. The runner only reports it.
    pub fn model_backend(mut self, backend: impl Into<String>) -> Self {
        self.model_backend = backend.into();
        self
    }

    /// Sets an environment variable. The last value of a name counts.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the directory that the agent works in; this program's own unless set.
    ///
    /// Give the program as an absolute path or a bare name then: whether a relative path starts from the old or the
    /// new directory depends on the platform.
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Sets where standard output and standard error go; [`Output::Inherit`] unless set.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets what standard input is; [`Input::Null`] unless set.
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Sets what an ending of the agent reaches; [`Reach::Process`] unless set.
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    pub(super) fn reaches(&self) -> Reach {
        self.reach
    }

    /// Returns what the runner reports of the agent: its name and its model backend.
    pub(super) fn into_labels(self) -> (String, String) {
        (self.name, self.model_backend)
    }

    pub(super) fn check(&self) -> Result<(), RunnerError> {
        let empty =
            |field| RunnerError::invalid(field, "it is empty: it needs at least one character");
        if self.program.is_empty() {
            return Err(empty("program"));
        }
        if self.name.is_empty() {
            return Err(empty("name"));
        }
        if self.model_backend.is_empty() {
            return Err(empty("model_backend"));
        }
        // The operating system would take such a name and the agent would read another one.
        let unusable = |name: &OsStr| name.is_empty() || name.as_encoded_bytes().contains(&b'=');
        match self.env.iter().find(|(name, _)| unusable(name)) {
            Some((name, _)) => Err(RunnerError::invalid(
                "env",
                format!(
                    "`{}` is no variable name; it must not be empty or hold `=`",
                    name.display()
                ),
            )),
            None => Ok(()),
        }
    }

    /// Must run inside a tokio runtime.
    pub(super) fn start(&self) -> Result<Child, RunnerError> {
        let output = || match self.output {
            Output::Inherit => Stdio::inherit(),
            Output::Null => Stdio::null(),
            Output::Piped => Stdio::piped(),
        };
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(match self.stdin {
                Input::Inherit => Stdio::inherit(),
                Input::Null => Stdio::null(),
            })
            .stdout(output())
            .stderr(output())
            .kill_on_drop(true);
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        #[cfg(unix)]
        if self.reach == Reach::Group {
            command.process_group(0);
        }
        command.spawn().map_err(|error| self.spawn_error(error))
    }

    fn spawn_error(&self, source: io::Error) -> RunnerError {
        let program = self.program.clone();
        match source.kind() {
            io::ErrorKind::InvalidInput => RunnerError::invalid(
                "command",
                format!(
                    "`{}`, its arguments, environment or directory hold what cannot be passed on; remove it: {source}",
                    program.display()
                ),
            ),
            // A missing directory has the same error code as a missing program.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => match &self.current_dir {
                Some(dir) if !dir.is_dir() => RunnerError::invalid(
                    "current_dir",
                    format!("{} is not a directory; create it first", dir.display()),
                ),
                _ => RunnerError::not_started(program, source),
            },
            _ => RunnerError::not_started(program, source),
        }
    }
}

impl fmt::Debug for AgentCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            args,
            env,
            current_dir,
            output,
            stdin,
            reach,
            name,
            model_backend,
        } = self;
        f.debug_struct("AgentCommand")
            .field("program", program)
            .field("args", args)
            .field("env", &env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("current_dir", current_dir)
            .field("output", output)
            .field("stdin", stdin)
            .field("reach", reach)
            .field("name", name)
            .field("model_backend", model_backend)
            .finish()
    }
}
