//! The life of the run's own agent: idle, running, and how it ended.

use descartes_state::runner::Reach;
use descartes_state::serde_json::{Value, json};
use descartes_state::uuid::Uuid;
use descartes_state::{
    AgentExit, AgentState, AgentStatus, ChangeIf, Clock, PageRequest, Session, SessionStatus,
    SnapshotFilter, SnapshotOptions, StateStoreError, Step, SystemClock, Transaction,
    TransitionDraft, new_id,
};

use crate::agents::changed;
use crate::liveness::{RECORDER, evidence};
use crate::sessions;

/// Who runs, and in which session.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) agent_id: String,
    pub(super) session_id: String,
    pub(super) backend: String,
    pub(super) command: Vec<String>,
    pub(super) reach: Reach,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) status: SessionStatus,
    pub(super) reason: String,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// The same, where a person typed it.
    pub(super) key_signal: Option<i32>,
    /// When, in Unix seconds.
    pub(super) at: i64,
}

impl Ended {
    /// `interrupted` is the signal that this program got.
    pub(super) fn new(exit: AgentExit, interrupted: Option<&str>) -> Self {
        let status = match exit.status {
            _ if interrupted.is_some() => SessionStatus::Terminated,
            AgentStatus::Completed => SessionStatus::Completed,
            AgentStatus::Terminated => SessionStatus::Terminated,
            _ => SessionStatus::Failed,
        };
        let end = match (exit.code, exit.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "its end could not be seen".to_owned(),
        };
        Self {
            status,
            reason: match interrupted {
                Some(name) => format!("{name}: {end}"),
                None => end,
            },
            exit_code: exit.code,
            signal: exit.signal,
            key_signal: None,
            at: SystemClock::default().now_seconds(),
        }
    }

    /// Notes the signal that was typed, if it is the one that ended the command.
    pub(super) fn by_key(mut self, signal: Option<i32>) -> Self {
        self.key_signal = signal.filter(|signal| self.signal == Some(*signal));
        self
    }

    /// Records that the command never ran.
    pub(super) fn unstarted(reason: String) -> Self {
        Self {
            status: SessionStatus::Failed,
            reason,
            exit_code: None,
            signal: None,
            key_signal: None,
            at: SystemClock::default().now_seconds(),
        }
    }
}

/// That the command was started.
#[derive(Debug, Clone)]
pub(super) struct Started {
    running: String,
    pid: Option<u32>,
    /// Of the transition.
    id: Uuid,
    /// In Unix seconds.
    at: i64,
}

impl Started {
    pub(super) fn new(running: String, pid: Option<u32>) -> Self {
        Self {
            running,
            pid,
            id: new_id(),
            at: SystemClock::default().now_seconds(),
        }
    }
}

/// That the command has exited.
#[derive(Debug, Clone)]
pub(super) struct Exited {
    pub(super) ended: Ended,
    /// Lines that the store failed to keep.
    pub(super) lost: u64,
    /// A line set a state of the agent's own, which stays.
    pub(super) has_own_state: bool,
    /// The agent's last recorded status, and its state then.
    pub(super) before: (&'static str, String),
    /// Of the transition.
    pub(super) id: Uuid,
}

/// What the end of a run leaves to write.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) exited: Exited,
    /// The sessions and agents that lines named.
    pub(super) sessions: Vec<String>,
    pub(super) agents: Vec<String>,
}

impl Life {
    /// Returns the agent's state where no line has one: a JSON object, its status first, for those who see its beginning.
    pub(super) fn state(&self, status: &str, more: &[(&str, Value)]) -> String {
        let session_id = json!(self.session_id);
        let mut state = format!("{{\"status\":{},\"session_id\":{session_id}", json!(status));
        for (key, value) in more {
            state.push_str(&format!(",{}:{value}", json!(key)));
        }
        state.push_str(&format!(",\"command\":{}}}", json!(self.command)));
        state
    }

    /// Records, before the command is started, that the agent is idle and its session open.
    pub(super) fn begin(&self, tx: &mut Transaction<'_>) -> Result<(), StateStoreError> {
        let idle = self.state("idle", &[]);
        let known = tx.agents().get(&self.agent_id)?.map(|record| record.state);
        let state = self.changed(tx, "idle", Some(&idle))?;
        match known {
            // What another run, or another program, left as the state stays in the history.
            Some(known) => {
                let metadata = self.metadata([&known.status, "idle"]);
                let step = Step::to(&state).reason("a new run").metadata(&metadata);
                tx.agents().step(&step).map(drop)?;
            }
            None => tx.agents().save(&state).map(drop)?,
        }
        let program = self.command.first();
        let ending = match self.reach {
            Reach::Group => "group",
            Reach::Session => "session",
            Reach::Descendants => "descendants",
            _ => "process",
        };
        let session = Session::new(&self.session_id, &self.agent_id).metadata(json!({
            "backend": self.backend,
            "program": program,
            "ending_reaches": ending,
            RECORDER: evidence(),
        }));
        tx.sessions().start(&session).map(drop)
    }

    /// Records that the command was started.
    pub(super) fn running(
        &self,
        tx: &mut Transaction<'_>,
        started: &Started,
    ) -> Result<(), StateStoreError> {
        let reason = match started.pid {
            Some(pid) => format!("started as process {pid}"),
            None => "started".to_owned(),
        };
        let state = self.changed(tx, "running", Some(&started.running))?;
        let metadata = self.metadata(["idle", "running"]);
        let step = Step::to(&state)
            .id(started.id)
            .timestamp(started.at)
            .reason(&reason)
            .metadata(&metadata);
        tx.agents().step(&step).map(drop)
    }

    /// Records that the command has exited: the last transition, and the agent's status and state.
    pub(super) fn exited(
        &self,
        tx: &mut Transaction<'_>,
        exited: &Exited,
    ) -> Result<(), StateStoreError> {
        let Ended {
            status, reason, at, ..
        } = &exited.ended;
        let is_recorded = tx.transitions().get(&exited.id)?.is_some();
        let end = self.final_state(exited);
        let state_data = (!exited.has_own_state).then_some(end.as_str());
        let state = self.changed(tx, status.as_str(), state_data)?;
        let (status_before, before) = &exited.before;
        let metadata = self.metadata([status_before, status.as_str()]);
        if !is_recorded && !exited.has_own_state {
            let step = Step::to(&state)
                .id(exited.id)
                .timestamp(*at)
                .reason(reason)
                .metadata(&metadata);
            return tx.agents().step(&step).map(drop);
        }
        if !is_recorded {
            // Not a step: the agent's state is its own, and the history says how the command ended.
            let draft = TransitionDraft::new(&self.agent_id, before, end)
                .id(exited.id)
                .timestamp(*at)
                .reason(reason)
                .metadata(metadata);
            tx.transitions().record(&draft)?;
        }
        tx.agents().save(&state).map(drop)
    }

    fn final_state(&self, exited: &Exited) -> String {
        let ended = &exited.ended;
        let mut more = vec![
            ("exit_code", json!(ended.exit_code)),
            ("signal", json!(ended.signal)),
        ];
        if exited.lost > 0 {
            more.push(("lost_events", json!(exited.lost)));
        }
        self.state(ended.status.as_str(), &more)
    }

    /// Records that command and output have ended: what the exit left to write, a snapshot of the state, and the end of
    /// every session.
    pub(super) fn end(
        &self,
        tx: &mut Transaction<'_>,
        end: &End,
    ) -> Result<String, StateStoreError> {
        let status = end.exited.ended.status;
        let description = format!("end of session {}: {status}", self.session_id);
        if let Some(made) = self.last_snapshot(tx, &description)? {
            return Ok(made);
        }
        self.exited(tx, &end.exited)?;
        for agent_id in &end.agents {
            let known = tx.agents().get(agent_id)?;
            if known.is_some_and(|record| record.state.status == "running") {
                tx.agents()
                    .set_status(agent_id, status.as_str(), ChangeIf::Any)?;
            }
        }
        let run = &self.session_id;
        sessions::end(tx, run, run, status, end.exited.lost)?;
        for session_id in &end.sessions {
            sessions::end(tx, session_id, run, status, 0)?;
        }
        let options = SnapshotOptions::default().description(description);
        tx.snapshots().create(&self.agent_id, &options)
    }

    /// Returns the snapshot of an end that is written already.
    fn last_snapshot(
        &self,
        tx: &mut Transaction<'_>,
        description: &str,
    ) -> Result<Option<String>, StateStoreError> {
        let filter = SnapshotFilter::default().agent(&self.agent_id);
        let page = tx.snapshots().list(&filter, &PageRequest::new(10))?;
        let made = page
            .items
            .into_iter()
            .find(|snapshot| snapshot.description.as_deref() == Some(description));
        Ok(made.map(|snapshot| snapshot.id))
    }

    /// Returns the metadata of a transition.
    fn metadata(&self, [status_before, status_after]: [&str; 2]) -> Value {
        json!({
            "session_id": self.session_id,
            "status_before": status_before,
            "status_after": status_after,
        })
    }

    /// Returns the agent's state with another status, and other state data where there is some.
    fn changed(
        &self,
        tx: &mut Transaction<'_>,
        status: &str,
        state_data: Option<&str>,
    ) -> Result<AgentState, StateStoreError> {
        changed(tx, &self.agent_id, |state| {
            state.status = status.to_owned();
            if let Some(metadata) = state.metadata.as_object_mut() {
                metadata.insert("backend".to_owned(), json!(self.backend));
            }
            if let Some(state_data) = state_data {
                state.state_data = state_data.to_owned();
            }
        })
    }
}
