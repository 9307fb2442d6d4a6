//! One agent's process: the only place that signals and reaps it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::reach::{Rest, Target};
use super::{AgentExit, AgentSignal, Reach};

/// How often it is looked whether what an agent has started has ended.
const PAUSE: Duration = Duration::from_millis(10);
/// How often a kill looks for what was started meanwhile, before it leaves that to a later look.
#[cfg(unix)]
const KILL_ROUNDS: u32 = 3;
/// How long killed processes have to go before they are named as survivors.
const DYING: Duration = Duration::from_secs(1);

/// A child process shared by its supervisor, which reaps it, and the runner, which signals it.
///
/// Both happen under one lock, so a signal never goes to a process that took over the number of a reaped one.
#[derive(Debug)]
pub(super) struct Process(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    child: Child,
    reach: Reach,
    /// Whether orphans are adopted; they are this agent's where no other runs.
    adopts: bool,
    slots: Slots,
    /// What it has started, as far as an ending has looked.
    rest: Rest,
    survivors: Vec<String>,
    killed: bool,
    /// SIGKILL was sent: there is nothing left to wait for.
    is_forced: bool,
    /// The ending has done what it could.
    is_over: bool,
    sent: Vec<i32>,
    /// Wakes the supervisor: a child found ended by somebody else no longer does.
    supervisor: Option<Waker>,
}

/// The places for agents that run at once.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    pub(super) semaphore: Arc<Semaphore>,
    pub(super) all: usize,
    /// Children of this program that are nobody's orphans.
    pub(super) spared: Arc<Mutex<Vec<u32>>>,
}

impl Slots {
    pub(super) fn spared(&self) -> Vec<u32> {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.clone()
    }
}

impl Process {
    pub(super) fn new(child: Child, reach: Reach, adopts: bool, slots: Slots) -> Self {
        Self(Mutex::new(Inner {
            child,
            reach,
            adopts,
            slots,
            rest: Rest::default(),
            survivors: Vec::new(),
            killed: false,
            is_forced: false,
            is_over: false,
            sent: Vec::new(),
            supervisor: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` once the process was reaped.
    pub(super) fn pid(&self) -> Option<u32> {
        self.lock().child.id()
    }

    fn reaches_others(&self) -> bool {
        self.lock().reach != Reach::Process
    }

    /// Returns what the ending left alive.
    pub(super) fn survivors(&self) -> Vec<String> {
        self.lock().survivors.clone()
    }

    /// Asks the process to end, unless somebody else has, and starts the grace. Does nothing to one that has ended or was
    /// asked before.
    pub(super) fn kill(&self, signal: Option<AgentSignal>) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.killed || inner.has_ended() {
            return Ok(());
        }
        // What is there when the ending begins is known by its parents, who may go first.
        inner.look();
        #[cfg(unix)]
        if let Some(signal) = signal {
            inner.send(signal)?;
        }
        #[cfg(not(unix))]
        {
            let _ = signal;
            inner.child.start_kill()?;
        }
        inner.killed = true;
        inner.wake();
        Ok(())
    }

    /// Ends the process, and what its ending reaches, at once, as far as the operating system lets us. Does nothing to one
    /// that has ended by itself.
    pub(super) fn force_kill(&self) {
        // It fails if the process has ended, which is fine, or if we may not: nothing is left to try.
        let _ = self.lock().force_kill();
    }

    /// Does nothing to a process that has ended.
    pub(super) fn signal(&self, signal: AgentSignal) -> io::Result<()> {
        let mut inner = self.lock();
        if signal == AgentSignal::Kill {
            return inner.force_kill();
        }
        if inner.has_ended() {
            return Ok(());
        }
        let number = inner.send(signal)?;
        if !inner.sent.contains(&number) {
            inner.sent.push(number);
        }
        Ok(())
    }

    /// Waits for the end of what was asked to end: the agent, and then the others, who are asked when it has gone.
    async fn orderly_end(&self) {
        while self.lock().is_waited_for() {
            sleep(PAUSE).await;
        }
        self.lock().ask_rest();
        while self.lock().is_rest_waited_for() {
            sleep(PAUSE).await;
        }
    }

    /// Waits a moment for the end of what was killed, and keeps who lives on.
    async fn bury(&self) {
        let dying = async {
            while self.lock().is_rest_alive() {
                self.force_kill();
                sleep(PAUSE).await;
            }
        };
        // What is left then can't be ended by us.
        let _ended = timeout(DYING, dying).await;
        let mut inner = self.lock();
        inner.look();
        inner.survivors = inner.rest.survivors();
        inner.is_over = true;
    }

    async fn kill_requested(&self) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.killed {
                return Poll::Ready(());
            }
            inner.supervisor = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn end(&self) -> AgentExit {
        poll_fn(|cx| {
            let mut inner = self.lock();
            inner.supervisor = Some(cx.waker().clone());
            if inner.is_held() {
                return Poll::Pending;
            }
            // The lock must not be held from one poll to the next; the child keeps what `wait` has registered.
            let exit = match pin!(inner.child.wait()).poll(cx) {
                Poll::Ready(exit) => exit.ok(),
                Poll::Pending => return Poll::Pending,
            };
            Poll::Ready(AgentExit::new(exit, inner.killed, &inner.sent))
        })
        .await
    }
}

impl Inner {
    fn target(&self) -> Option<Target> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok())?;
        let running = self.slots.all - self.slots.semaphore.available_permits();
        (self.reach != Reach::Process).then_some(Target {
            pid,
            reach: self.reach,
            orphans_but: (self.adopts && running <= 1).then(|| self.slots.spared()),
        })
    }

    fn look(&mut self) {
        if let Some(target) = self.target() {
            self.rest.look(&target);
        }
    }

    fn force_kill(&mut self) -> io::Result<()> {
        let is_over = self.child.id().is_none() || !self.killed && self.has_ended();
        if is_over {
            return Ok(());
        }
        self.look();
        let killed = self.child.start_kill();
        if killed.is_err() && !self.has_ended() {
            return killed;
        }
        self.killed = true;
        self.is_forced = true;
        self.wake();
        #[cfg(unix)]
        for _ in 0..KILL_ROUNDS {
            self.rest.signal(rustix::process::Signal::KILL);
            // What was started since the look before.
            self.look();
            if !self.rest.is_alive() {
                break;
            }
        }
        Ok(())
    }

    /// Asks what the agent has left to end.
    fn ask_rest(&mut self) {
        self.look();
        #[cfg(unix)]
        self.rest.signal(rustix::process::Signal::TERM);
    }

    fn is_waited_for(&mut self) -> bool {
        !self.is_forced && !self.has_ended()
    }

    fn is_rest_waited_for(&mut self) -> bool {
        !self.is_forced && self.is_rest_alive()
    }

    fn is_rest_alive(&mut self) -> bool {
        self.look();
        self.rest.is_alive()
    }

    /// Returns whether an ending that reaches others is under way: until it is over the process isn't reaped, so that its
    /// number stays its own, and that of its group.
    fn is_held(&self) -> bool {
        self.killed && self.reach != Reach::Process && !self.is_over
    }

    /// Returns whether the process has ended.
    fn has_ended(&mut self) -> bool {
        #[cfg(unix)]
        if self.is_held() {
            use rustix::process::{WaitId, WaitIdOptions, waitid};

            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            return match self.pid() {
                Some(pid) => !matches!(waitid(WaitId::Pid(pid), options), Ok(None)),
                None => true,
            };
        }
        // An error means that it is no child of ours any more: this program ignores SIGCHLD and the system reaped it.
        let ended = !matches!(self.child.try_wait(), Ok(None));
        if ended {
            self.wake();
        }
        ended
    }

    #[cfg(unix)]
    fn pid(&self) -> Option<rustix::process::Pid> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(rustix::process::Pid::from_raw)
    }

    fn wake(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.wake();
        }
    }

    #[cfg(unix)]
    fn send(&self, signal: AgentSignal) -> io::Result<i32> {
        use rustix::process::{Signal, kill_process};

        let signal = match signal {
            AgentSignal::Interrupt => Signal::INT,
            AgentSignal::Terminate => Signal::TERM,
            AgentSignal::Hangup => Signal::HUP,
            AgentSignal::Quit => Signal::QUIT,
            AgentSignal::User1 => Signal::USR1,
            AgentSignal::User2 => Signal::USR2,
            AgentSignal::Stop => Signal::TSTP,
            AgentSignal::Continue => Signal::CONT,
            AgentSignal::Kill => Signal::KILL,
        };
        kill_process(self.pid().ok_or(io::ErrorKind::NotFound)?, signal)?;
        Ok(signal.as_raw())
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "the same shape on every platform")]
    fn send(&self, _signal: AgentSignal) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Watches one process to its end. The fields drop in this order when the runtime shuts down: the process is killed,
/// its slot freed, and only then do waiters learn that nobody watches any more.
#[derive(Debug)]
pub(super) struct Supervisor {
    process: Leash,
    slot: OwnedSemaphorePermit,
    ended: watch::Sender<Option<AgentExit>>,
}

/// Kills the process on drop; without effect after its end.
#[derive(Debug)]
struct Leash(Arc<Process>);

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.force_kill();
    }
}

impl Supervisor {
    pub(super) fn new(
        process: Arc<Process>,
        slot: OwnedSemaphorePermit,
        ended: watch::Sender<Option<AgentExit>>,
    ) -> Self {
        Self {
            process: Leash(process),
            slot,
            ended,
        }
    }

    pub(super) async fn run(self, grace: Duration) {
        let exit = self.watch(grace).await;
        let Self {
            process: _process,
            slot,
            ended,
        } = self;
        // Whoever has seen an agent end may start another one.
        drop(slot);
        ended.send_replace(Some(exit));
    }

    async fn watch(&self, grace: Duration) -> AgentExit {
        let process = &self.process.0;
        tokio::select! {
            biased;
            () = process.kill_requested() => {}
            exit = process.end() => return exit,
        }
        if process.reaches_others() {
            let _in_time = timeout(grace, process.orderly_end()).await;
            process.force_kill();
            process.bury().await;
            return process.end().await;
        }
        if let Ok(exit) = timeout(grace, process.end()).await {
            return exit;
        }
        process.force_kill();
        process.end().await
    }
}
