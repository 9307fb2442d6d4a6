//! The agents of one runner.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::process::Child;
use tokio::sync::watch;
use uuid::Uuid;

use super::process::Process;
use super::{AgentCommand, AgentExit, AgentInfo, AgentOutput, AgentStatus, RunnerError};
use crate::{Clock, SystemClock, new_id};

/// Every agent that was started and not forgotten. Dropping it kills those that run.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Agents>);

#[derive(Debug, Default)]
struct Agents {
    by_id: HashMap<Uuid, Arc<Agent>>,
    started: u64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Agents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists an agent that was just started from `command`.
    pub(super) fn add(
        &self,
        command: AgentCommand,
        pipes: Pipes,
        process: Arc<Process>,
        end: End,
    ) -> Arc<Agent> {
        let (name, model_backend) = command.into_labels();
        let mut agents = self.lock();
        let agent = Arc::new(Agent {
            id: new_id(),
            place: agents.started,
            name,
            model_backend,
            started_at: SystemClock.now_seconds(),
            process,
            pipes: Mutex::new(pipes),
            end,
        });
        agents.started += 1;
        agents.by_id.insert(agent.id, Arc::clone(&agent));
        agent
    }

    pub(super) fn get(&self, id: &Uuid) -> Result<Arc<Agent>, RunnerError> {
        self.lock()
            .by_id
            .get(id)
            .cloned()
            .ok_or(RunnerError::UnknownAgent { id: *id })
    }

    /// Returns them in the order of start.
    pub(super) fn list(&self) -> Vec<AgentInfo> {
        let mut agents: Vec<_> = self.lock().by_id.values().cloned().collect();
        agents.sort_unstable_by_key(|agent| agent.place);
        agents.iter().map(|agent| agent.info()).collect()
    }

    /// Returns the process numbers of those that run.
    #[cfg(target_os = "linux")]
    pub(super) fn pids(&self) -> Vec<u32> {
        let agents = self.lock();
        let pids = agents.by_id.values().map(|agent| agent.process.pid());
        pids.flatten().collect()
    }

    pub(super) fn remove(&self, id: &Uuid) -> Option<Arc<Agent>> {
        self.lock().by_id.remove(id)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for agent in self.lock().by_id.values() {
            agent.process.force_kill();
        }
    }
}

/// How its supervisor says that an agent has ended. Closed while still `None`: the runtime shut down.
pub(super) type End = watch::Receiver<Option<AgentExit>>;

#[derive(Debug)]
pub(super) struct Agent {
    id: Uuid,
    /// Its place in the order of starts: the clock behind ids and times may step back.
    place: u64,
    name: String,
    model_backend: String,
    started_at: i64,
    pub(super) process: Arc<Process>,
    pipes: Mutex<Pipes>,
    end: End,
}

impl Agent {
    pub(super) fn info(&self) -> AgentInfo {
        let status = self.status();
        AgentInfo {
            id: self.id,
            name: self.name.clone(),
            status,
            started_at: self.started_at,
            model_backend: self.model_backend.clone(),
            pid: self
                .process
                .pid()
                .filter(|_| status == AgentStatus::Running),
            survivors: self.process.survivors(),
        }
    }

    pub(super) fn status(&self) -> AgentStatus {
        // In this order: an exit sent just before the channel closes must be seen.
        let closed = self.end.has_changed().is_err();
        match *self.end.borrow() {
            Some(exit) => exit.status,
            None if closed => AgentExit::UNSEEN.status,
            None => AgentStatus::Running,
        }
    }

    pub(super) async fn ended(&self) -> AgentExit {
        match self.end.clone().wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(AgentExit::UNSEEN),
            Err(_closed) => AgentExit::UNSEEN,
        }
    }

    pub(super) fn take_output(&self) -> Result<AgentOutput, RunnerError> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *pipes, Pipes::Taken) {
            Pipes::Ready(output) => Ok(output),
            Pipes::Taken => Err(RunnerError::OutputTaken { id: self.id }),
            Pipes::Absent => {
                *pipes = Pipes::Absent;
                Err(RunnerError::OutputNotPiped { id: self.id })
            }
        }
    }
}

#[derive(Debug)]
pub(super) enum Pipes {
    Absent,
    Ready(AgentOutput),
    Taken,
}

impl Pipes {
    pub(super) fn of(child: &mut Child) -> Self {
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => Self::Ready(AgentOutput { stdout, stderr }),
            _ => Self::Absent,
        }
    }
}
