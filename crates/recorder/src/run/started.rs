//! The command's start: with pipes, or at a terminal of its own.

use std::path::PathBuf;

use descartes_state::runner::{Input, Output, Reach};
use descartes_state::uuid::Uuid;
use descartes_state::{AgentCommand, AgentExit, LocalProcessRunner, RunnerError};
#[cfg(unix)]
use rustix::process::Signal;

use super::RunOptions;
use super::source::Source;
use super::witness::Witness;
use crate::lines::Stream;

/// A command that runs.
#[derive(Debug)]
pub(super) struct Started {
    /// The runner's.
    pub(super) id: Uuid,
    pub(super) pid: Option<u32>,
    pub(super) sources: Vec<(Stream, Source)>,
    pub(super) terminal: Terminal,
    /// Where the command is in our process group: it gets what the group gets.
    pub(super) witness: Option<Witness>,
}

/// Returns what an ending of a command is to reach. In a terminal of this program's it has to stay in our group, or neither
/// ctrl-c nor `fg` would reach it, nor could it read what is typed.
pub(super) fn reach(options: &RunOptions) -> Reach {
    if options.has_terminal {
        return Reach::Session;
    }
    let terminal = std::fs::OpenOptions::new().read(true).open("/dev/tty");
    match terminal {
        Ok(_) => Reach::Descendants,
        Err(_) => Reach::Group,
    }
}

/// Starts the command. Its program is named in every error, whoever was to start it.
pub(super) async fn start(
    runner: &LocalProcessRunner,
    options: &RunOptions,
    reach: Reach,
) -> Result<Started, RunnerError> {
    if options.has_terminal {
        return at_a_terminal(runner, options, reach).await;
    }
    let mut words = options.command.iter().cloned();
    let command = AgentCommand::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Input::Inherit);
    let witness = match &options.helper {
        Some(helper) if reach == Reach::Descendants => Witness::start(helper).await,
        _ => None,
    };
    if let Some(pid) = witness.as_ref().and_then(Witness::pid) {
        runner.spare(pid);
    }
    let agent = runner.spawn(labelled(command, options, reach)).await?;
    let output = runner.take_output(&agent.id)?;
    Ok(Started {
        id: agent.id,
        pid: agent.pid,
        sources: vec![
            (Stream::Stdout, Source::Stdout(output.stdout)),
            (Stream::Stderr, Source::Stderr(output.stderr)),
        ],
        terminal: Terminal::none(),
        witness,
    })
}

fn labelled(command: AgentCommand, options: &RunOptions, reach: Reach) -> AgentCommand {
    command
        .name(&options.agent_id)
        .model_backend(&options.backend)
        .output(Output::Piped)
        .reach(reach)
}

#[cfg(unix)]
async fn at_a_terminal(
    runner: &LocalProcessRunner,
    options: &RunOptions,
    reach: Reach,
) -> Result<Started, RunnerError> {
    use crate::helper::LEAD_SESSION;
    use crate::terminal::{self, reports::Reports};

    let program = options.command.first().cloned().unwrap_or_default();
    let refused = |source| RunnerError::Spawn {
        program: program.clone(),
        source,
    };
    let helper = options.helper.as_ref().ok_or_else(|| {
        let reason = "a terminal needs RunOptions::helper, the program that leads its session";
        refused(std::io::Error::other(reason))
    })?;
    let (mut terminal, screen) = terminal::Terminal::open().map_err(refused)?;
    let leader = AgentCommand::new(helper)
        .arg(LEAD_SESSION)
        .arg(terminal.path())
        .args(options.command.iter().cloned());
    let agent = runner.spawn(labelled(leader, options, reach)).await?;
    let mut reports = Reports::new(runner.take_output(&agent.id)?.stdout);
    let pid = reports.started(program.clone()).await?;
    terminal.begin_typing().map_err(refused)?;
    Ok(Started {
        id: agent.id,
        pid: Some(pid),
        sources: vec![(Stream::Terminal, Source::Terminal(screen))],
        terminal: Terminal::own(terminal, reports),
        witness: None,
    })
}

#[cfg(not(unix))]
async fn at_a_terminal(
    _runner: &LocalProcessRunner,
    options: &RunOptions,
    _reach: Reach,
) -> Result<Started, RunnerError> {
    Err(RunnerError::Spawn {
        program: options.command.first().cloned().unwrap_or_default(),
        source: std::io::ErrorKind::Unsupported.into(),
    })
}

/// The terminal of the command's own, if it has one.
#[derive(Debug)]
pub(super) struct Terminal {
    #[cfg(unix)]
    own: Option<(crate::terminal::Terminal, crate::terminal::reports::Reports)>,
}

#[cfg(unix)]
impl Terminal {
    fn none() -> Self {
        Self { own: None }
    }

    fn own(
        terminal: crate::terminal::Terminal,
        reports: crate::terminal::reports::Reports,
    ) -> Self {
        Self {
            own: Some((terminal, reports)),
        }
    }

    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends the typing, and gives this program's own terminal back: the command is gone. Returns the path of its own.
    pub(super) fn end_typing(&mut self) -> Option<PathBuf> {
        let (terminal, _) = self.own.take()?;
        Some(terminal.path().to_owned())
    }

    /// Returns which key ended the command: a signal that is typed comes from its own terminal, and not through us.
    pub(super) fn typed_end(&self, exit: AgentExit) -> Option<&'static str> {
        let signals = [(Signal::INT, "SIGINT"), (Signal::QUIT, "SIGQUIT")];
        let mut typed = signals
            .into_iter()
            .filter(|(signal, _)| exit.signal == Some(signal.as_raw()));
        typed.next().map(|(_, name)| name).filter(|_| self.is_own())
    }

    /// Waits until the command has stopped there.
    pub(super) async fn stopped(&mut self) {
        match &mut self.own {
            Some((_, reports)) => reports.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Stops this program, with its pipeline, as the command has stopped; returns when it is continued, or at once where
    /// nobody would do that.
    pub(super) fn stop_with(&self) {
        let Some((terminal, _)) = &self.own else {
            return;
        };
        if terminal.is_interactive() {
            terminal.suspend();
            super::signals::stop_group();
            terminal.resume();
        }
    }

    pub(super) fn suspend(&self) {
        if let Some((terminal, _)) = &self.own {
            terminal.suspend();
        }
    }

    pub(super) fn resume(&self) {
        if let Some((terminal, _)) = &self.own {
            terminal.resume();
        }
    }
}

#[cfg(not(unix))]
impl Terminal {
    fn none() -> Self {
        Self {}
    }

    pub(super) fn typed_end(&self, _exit: AgentExit) -> Option<&'static str> {
        None
    }

    pub(super) fn is_own(&self) -> bool {
        false
    }

    pub(super) fn end_typing(&mut self) -> Option<PathBuf> {
        None
    }

    pub(super) async fn stopped(&mut self) {
        std::future::pending().await
    }

    pub(super) fn stop_with(&self) {}
    pub(super) fn suspend(&self) {}
    pub(super) fn resume(&self) {}
}
