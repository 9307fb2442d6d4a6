//! Agents as child processes of this program.

mod agent;
mod command;
mod error;
mod options;
mod process;
mod reach;
mod registry;

use std::sync::{Arc, Mutex, Once, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

pub use agent::{AgentExit, AgentInfo, AgentOutput, AgentSignal, AgentStatus};
pub use command::{AgentCommand, Input, Output};
pub use error::RunnerError;
pub use options::RunnerOptions;
pub use reach::Reach;

use process::{Process, Slots, Supervisor};
use registry::{Agent, Pipes, Registry};

/// Runs agents as child processes and knows how each is doing.
///
/// A runner is a cheap handle: clones share the same agents. An agent stays listed after its end until it is
/// [forgotten](Self::forget), so a program that runs for long forgets agents or grows.
///
/// # Runtime
/// Agents are started and watched inside a tokio runtime that has its I/O and time drivers, such as that of
/// `#[tokio::main]` or one built with `enable_all`. Everything else works from anywhere.
///
/// # The end of the runner
/// Dropping the last handle, inside a runtime or not, sends SIGKILL to every agent that still runs before the drop
/// returns; so does shutting the runtime down. Neither happens when this program itself is killed or calls
/// [`std::process::exit`] while it holds the runner. The runtime reaps the killed agents; if it is gone, another tokio
/// runtime of this program or, after this program's end, the system does.
///
/// Signals go to the agent's own process. What an agent starts is for the agent to end, and a shell script should
/// `exec` its program, unless the agent's [`Reach`] is wider. Agents share this program's process group, so ctrl-c in a
/// terminal reaches them too, unless they have a group of their own.
///
/// ```
/// use descartes_state::{AgentCommand, AgentStatus, LocalProcessRunner};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runner = LocalProcessRunner::new(Default::default())?;
/// let agent = runner.spawn(AgentCommand::new("sh").args(["-c", "exit 0"]).name("planner")).await?;
///
/// let exit = runner.wait(&agent.id).await?;
/// assert_eq!(exit.status, AgentStatus::Completed);
///
/// let agents = runner.list_agents().await?;
/// assert_eq!(agents[0].name, "planner");
/// assert_eq!(format!("{:?}", agents[0].status), "Completed");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LocalProcessRunner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: RunnerOptions,
    slots: Slots,
    agents: Registry,
    /// Held while an agent is started and listed: until then it looks like an orphan.
    starting: Mutex<()>,
    adopting: Once,
}

impl LocalProcessRunner {
    /// Makes a runner without agents. No runtime is needed yet.
    ///
    /// # Errors
    /// [`RunnerError::InvalidInput`] if `max_agents` is 0.
    pub fn new(options: RunnerOptions) -> Result<Self, RunnerError> {
        let options = options.checked()?;
        let slots = Slots {
            semaphore: Arc::new(Semaphore::new(options.max_agents)),
            all: options.max_agents,
            spared: Arc::default(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                options,
                slots,
                agents: Registry::default(),
                starting: Mutex::new(()),
                adopting: Once::new(),
            }),
        })
    }

    /// Starts an agent and returns without waiting for its end.
    ///
    /// # Cancellation
    /// It never suspends: the agent is started when the future is first polled, and not at all before.
    ///
    /// # Errors
    /// Nothing was started in any case.
    /// - [`RunnerError::InvalidInput`]: the program, name or model backend is empty, an environment variable's name is
    ///   empty or holds `=`, something holds a NUL byte, or the directory does not exist
    /// - [`RunnerError::ProgramNotFound`], [`RunnerError::NotExecutable`], [`RunnerError::Spawn`]: the operating
    ///   system could not start it
    /// - [`RunnerError::TooManyAgents`]: [`RunnerOptions::max_agents`] are running
    /// - [`RunnerError::NoRuntime`]: called outside a tokio runtime
    #[expect(
        clippy::unused_async,
        reason = "it needs a runtime, and may have to wait for one day"
    )]
    pub async fn spawn(&self, command: AgentCommand) -> Result<AgentInfo, RunnerError> {
        command.check()?;
        let runtime = Handle::try_current().map_err(|_| RunnerError::NoRuntime)?;
        let options = &self.shared.options;
        let slot = Arc::clone(&self.shared.slots.semaphore)
            .try_acquire_owned()
            .map_err(|_| RunnerError::TooManyAgents {
                limit: options.max_agents,
            })?;
        if options.adopts_orphans {
            self.shared
                .adopting
                .call_once(|| adopt_orphans(&runtime, &self.shared));
        }
        let starting = self.shared.starting.lock();
        let starting = starting.unwrap_or_else(PoisonError::into_inner);
        let mut child = command.start()?;

        let pipes = Pipes::of(&mut child);
        let slots = self.shared.slots.clone();
        let (reach, adopts) = (command.reaches(), options.adopts_orphans);
        let process = Arc::new(Process::new(child, reach, adopts, slots));
        let (ended, end) = watch::channel(None);
        let supervisor = Supervisor::new(Arc::clone(&process), slot, ended);
        let agent = self.shared.agents.add(command, pipes, process, end);
        drop(starting);
        // As it was started: it may have ended by the time that its supervisor looks.
        let info = agent.info();
        runtime.spawn(supervisor.run(options.kill_grace));
        Ok(info)
    }

    /// Every agent of this runner in the order of start, those that have ended included.
    ///
    /// # Cancellation
    /// It never suspends.
    ///
    /// # Errors
    /// None at present; an agent's own failure is its [`AgentInfo::status`].
    #[expect(
        clippy::unused_async,
        reason = "runners that ask another machine will have to wait"
    )]
    pub async fn list_agents(&self) -> Result<Vec<AgentInfo>, RunnerError> {
        Ok(self.shared.agents.list())
    }

    /// Waits for an agent's end. Any number of callers may wait, also after the end.
    ///
    /// # Cancellation
    /// Dropping the future changes nothing: the agent runs on, and others and later calls still get its exit.
    ///
    /// # Errors
    /// [`RunnerError::UnknownAgent`]
    pub async fn wait(&self, id: &Uuid) -> Result<AgentExit, RunnerError> {
        Ok(self.agent(id)?.ended().await)
    }

    /// Ends an agent and waits until it has ended: SIGTERM, then SIGKILL if it still runs after
    /// [`RunnerOptions::kill_grace`]. What the agent has started ends with it as far as its [`Reach`] goes, within the
    /// same grace; what lives on is named in [`AgentInfo::survivors`].
    ///
    /// An agent that ends after this is [`AgentStatus::Terminated`], whatever its exit code. To an agent that has
    /// ended before it does nothing and returns that exit. Platforms other than Unix have no SIGTERM; there it is
    /// ended at once.
    ///
    /// # Cancellation
    /// The kill begins when the future is first polled. Dropping the future afterwards does not take it back.
    ///
    /// # Errors
    /// - [`RunnerError::UnknownAgent`]
    /// - [`RunnerError::NotSignalled`]: the operating system forbids it; the agent may still be running
    pub async fn kill(&self, id: &Uuid) -> Result<AgentExit, RunnerError> {
        self.ask_to_end(id, Some(AgentSignal::Terminate))?;
        self.wait(id).await
    }

    /// Begins to end an agent as [`kill`](Self::kill) does, with another signal in the place of SIGTERM, and doesn't wait.
    /// Without a signal the agent has been asked by other means, such as ctrl-c in a terminal, and its grace begins.
    /// [`AgentSignal::Kill`] ends the grace.
    ///
    /// ```
    /// use descartes_state::runner::Reach;
    /// use descartes_state::{AgentCommand, AgentSignal, LocalProcessRunner};
    ///
    /// # #[cfg(unix)]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runner = LocalProcessRunner::new(Default::default())?;
    /// let command = AgentCommand::new("sh").args(["-c", "sleep 600 & wait"]).reach(Reach::Group);
    /// let agent = runner.spawn(command).await?;
    ///
    /// runner.ask_to_end(&agent.id, Some(AgentSignal::Hangup))?;
    /// let exit = runner.wait(&agent.id).await?;
    /// assert_eq!(exit.signal, Some(1));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(unix))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn ask_to_end(&self, id: &Uuid, signal: Option<AgentSignal>) -> Result<(), RunnerError> {
        let process = &self.agent(id)?.process;
        match signal {
            Some(signal @ AgentSignal::Kill) => process.signal(signal),
            _ => process.kill(signal),
        }
        .map_err(|source| RunnerError::NotSignalled { id: *id, source })
    }

    /// Says that a child of this program is no orphan that the runner has [adopted](RunnerOptions::adopt_orphans): it is neither
    /// ended with an agent nor reaped.
    pub fn spare(&self, pid: u32) {
        let spared = self.shared.slots.spared.lock();
        spared.unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// Returns what is known of an agent now.
    ///
    /// # Errors
    /// [`RunnerError::UnknownAgent`]
    pub fn info(&self, id: &Uuid) -> Result<AgentInfo, RunnerError> {
        Ok(self.agent(id)?.info())
    }

    /// Passes a signal on to an agent and leaves to the agent what follows. Does nothing to one that has ended.
    ///
    /// An agent that this signal ends is [`AgentStatus::Terminated`]. One that handles it and exits is judged by its
    /// exit code.
    ///
    /// # Errors
    /// - [`RunnerError::UnknownAgent`]
    /// - [`RunnerError::NotSignalled`]: the operating system forbids it, or has no signals (not Unix)
    pub fn signal(&self, id: &Uuid, signal: AgentSignal) -> Result<(), RunnerError> {
        self.agent(id)?
            .process
            .signal(signal)
            .map_err(|source| RunnerError::NotSignalled { id: *id, source })
    }

    /// Gives the pipes of an agent spawned with [`Output::Piped`], once; also after its end.
    ///
    /// ```
    /// use descartes_state::runner::Output;
    /// use descartes_state::{AgentCommand, LocalProcessRunner};
    /// use tokio::io::AsyncReadExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runner = LocalProcessRunner::new(Default::default())?;
    /// let agent = runner.spawn(AgentCommand::new("echo").arg("done").output(Output::Piped)).await?;
    ///
    /// let mut text = String::new();
    /// runner.take_output(&agent.id)?.stdout.read_to_string(&mut text).await?;
    /// assert_eq!(text, "done\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`RunnerError::UnknownAgent`]
    /// - [`RunnerError::OutputNotPiped`]: it was spawned with another [`Output`]
    /// - [`RunnerError::OutputTaken`]: it was taken before
    pub fn take_output(&self, id: &Uuid) -> Result<AgentOutput, RunnerError> {
        self.agent(id)?.take_output()
    }

    /// Removes an agent that has ended from the runner and returns what was known of it.
    ///
    /// # Errors
    /// - [`RunnerError::UnknownAgent`]
    /// - [`RunnerError::StillRunning`]
    pub fn forget(&self, id: &Uuid) -> Result<AgentInfo, RunnerError> {
        let agent = self.agent(id)?;
        if agent.status() == AgentStatus::Running {
            return Err(RunnerError::StillRunning { id: *id });
        }
        self.shared.agents.remove(id);
        Ok(agent.info())
    }

    fn agent(&self, id: &Uuid) -> Result<Arc<Agent>, RunnerError> {
        self.shared.agents.get(id)
    }
}

/// Makes this program the parent of orphans, and reaps them until the runner or its runtime goes.
#[cfg(target_os = "linux")]
fn adopt_orphans(runtime: &Handle, shared: &Arc<Shared>) {
    use tokio::signal::unix::{SignalKind, signal};

    /// A look at all processes takes milliseconds, and whoever has ended can wait.
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

    // It fails in kernels before 3.4 only.
    if rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_err() {
        return;
    }
    let _runtime = runtime.enter();
    let Ok(mut ended) = signal(SignalKind::child()) else {
        return;
    };
    let shared = Arc::downgrade(shared);
    runtime.spawn(async move {
        while ended.recv().await.is_some() {
            tokio::time::sleep(PAUSE).await;
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let starting = shared.starting.lock();
            let _starting = starting.unwrap_or_else(PoisonError::into_inner);
            let mut own = shared.agents.pids();
            own.extend(shared.slots.spared());
            reach::reap_orphans(&own);
        }
    });
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans(_runtime: &Handle, _shared: &Arc<Shared>) {}
