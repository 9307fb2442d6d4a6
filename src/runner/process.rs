//! One agent's process: the only place that signals and reaps it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{AgentExit, AgentSignal};

/// A child process shared by its supervisor, which reaps it, and the runner, which signals it.
///
/// Both happen under one lock, so a signal never goes to a process that took over the number of a reaped one.
#[derive(Debug)]
pub(super) struct Process(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    child: Child,
    killed: bool,
    sent: Vec<i32>,
    /// Wakes the supervisor: a child found ended by somebody else no longer does.
    supervisor: Option<Waker>,
}

impl Process {
    pub(super) fn new(child: Child) -> Self {
        Self(Mutex::new(Inner {
            child,
            killed: false,
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

    /// Asks the process to end and starts the grace. Does nothing to one that has ended or was asked before.
    pub(super) fn kill(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.killed || inner.has_ended() {
            return Ok(());
        }
        #[cfg(unix)]
        inner.send(AgentSignal::Terminate)?;
        #[cfg(not(unix))]
        inner.child.start_kill()?;
        inner.killed = true;
        inner.wake();
        Ok(())
    }

    /// Ends the process at once, as far as the operating system lets us.
    pub(super) fn force_kill(&self) {
        let mut inner = self.lock();
        inner.killed = true;
        // It fails if the process has ended, which is fine, or if we may not: nothing is left to try.
        let _ = inner.child.start_kill();
    }

    /// Does nothing to a process that has ended.
    pub(super) fn signal(&self, signal: AgentSignal) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.has_ended() {
            return Ok(());
        }
        let number = inner.send(signal)?;
        if !inner.sent.contains(&number) {
            inner.sent.push(number);
        }
        Ok(())
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
    fn has_ended(&mut self) -> bool {
        // An error means that it is no child of ours any more: this program ignores SIGCHLD and the system reaped it.
        let ended = !matches!(self.child.try_wait(), Ok(None));
        if ended {
            self.wake();
        }
        ended
    }

    fn wake(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.wake();
        }
    }

    #[cfg(unix)]
    fn send(&self, signal: AgentSignal) -> io::Result<i32> {
        use rustix::process::{Pid, Signal, kill_process};

        let signal = match signal {
            AgentSignal::Interrupt => Signal::INT,
            AgentSignal::Terminate => Signal::TERM,
            AgentSignal::Hangup => Signal::HUP,
            AgentSignal::Quit => Signal::QUIT,
            AgentSignal::User1 => Signal::USR1,
            AgentSignal::User2 => Signal::USR2,
            AgentSignal::Stop => Signal::TSTP,
            AgentSignal::Continue => Signal::CONT,
        };
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        kill_process(pid.ok_or(io::ErrorKind::NotFound)?, signal)?;
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
            exit = process.end() => return exit,
            () = process.kill_requested() => {}
        }
        if let Ok(exit) = tokio::time::timeout(grace, process.end()).await {
            return exit;
        }
        process.force_kill();
        process.end().await
    }
}
