//! Closes the sessions of runs that died before they could.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use descartes_state::serde_json::{Value, json};
use descartes_state::{
    ActorType, AnyStateStore, ChangeIf, Clock, Event, PageRequest, SessionFilter, SessionRecord,
    SessionStatus, StateStoreError, Step, SystemClock, Transaction, new_id,
};

pub use crate::liveness::Liveness;
use crate::liveness::{self, RECORDER};
use crate::sessions::{open_in, without_runs};

/// What a sweep did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Swept {
    /// The sessions that it closed, and why.
    pub closed: Vec<(SessionRecord, String)>,
    /// Those of which nothing is known: they stay open.
    pub silent: Vec<SessionRecord>,
}

const PAGE: u32 = 1000;

/// Says which open sessions are a run's, and whether it lives.
#[derive(Debug)]
pub struct Judge {
    /// The database file, if there is one.
    database: Option<PathBuf>,
    known: HashMap<String, Liveness>,
}

impl Judge {
    /// Judges runs that record into this store.
    #[must_use]
    pub fn new(store: &AnyStateStore) -> Self {
        Self {
            database: store.path().map(Path::to_owned),
            known: HashMap::new(),
        }
    }

    /// Returns what is known of those who write to a session: alive if one is, silent if nothing is known of one. `None` for a
    /// session that is over, or that no run has opened.
    ///
    /// # Errors
    /// The store's.
    pub async fn judge(
        &mut self,
        store: &AnyStateStore,
        session: &SessionRecord,
    ) -> Result<Option<Liveness>, StateStoreError> {
        if session.status.is_final() {
            return Ok(None);
        }
        let metadata = session.metadata.as_ref();
        let mut runs = open_in(metadata);
        if metadata.is_some_and(|metadata| metadata.get(RECORDER).is_some()) {
            runs.push(session.id.clone());
        }
        let mut best = None;
        for run in runs {
            let liveness = self.of_run(store, &run).await?;
            best = match (best, liveness) {
                (Some(Liveness::Alive), _) | (_, Liveness::Alive) => Some(Liveness::Alive),
                (Some(Liveness::Silent), _) | (_, Liveness::Silent) => Some(Liveness::Silent),
                (_, dead) => Some(dead),
            };
        }
        Ok(best)
    }

    async fn of_run(
        &mut self,
        store: &AnyStateStore,
        run: &str,
    ) -> Result<Liveness, StateStoreError> {
        if let Some(known) = self.known.get(run) {
            return Ok(known.clone());
        }
        let own = store.sessions().get(run).await?;
        let liveness = match own {
            Some(own) if own.status.is_final() => Liveness::Dead(format!("its run {run} is over")),
            own => {
                let metadata = own.and_then(|own| own.metadata);
                liveness::judge(self.database.as_deref(), run, metadata.as_ref())
            }
        };
        self.known.insert(run.to_owned(), liveness.clone());
        Ok(liveness)
    }
}

/// Closes the open sessions whose runs are dead as abandoned, each by itself and only if nobody has changed it meanwhile;
/// with `silent_for`, also those of which nothing is known and nothing was heard for so long.
///
/// # Errors
/// The store's.
pub async fn sweep(
    store: &AnyStateStore,
    silent_for: Option<Duration>,
) -> Result<Swept, StateStoreError> {
    let mut swept = Swept::default();
    let mut judge = Judge::new(store);
    let filter = SessionFilter::default().status(SessionStatus::Active);
    let mut page = PageRequest::new(PAGE);
    loop {
        let sessions = store.sessions().list(&filter, &page).await?;
        for session in sessions.items {
            let Some(liveness) = judge.judge(store, &session).await? else {
                continue;
            };
            let silence = SystemClock::default().now_seconds() - session.updated_at;
            let reason = match (&liveness, silent_for) {
                (Liveness::Alive, _) => None,
                (Liveness::Dead(reason), _) => Some(reason.clone()),
                (Liveness::Silent, Some(limit))
                    if silence >= i64::try_from(limit.as_secs()).unwrap_or(i64::MAX) =>
                {
                    Some(format!("it was silent for {silence} s"))
                }
                (Liveness::Silent, _) => {
                    swept.silent.push(session.clone());
                    None
                }
            };
            let Some(reason) = reason else {
                continue;
            };
            let (closing, why) = (session.clone(), reason.clone());
            if store.transact(move |tx| close(tx, &closing, &why)).await? {
                liveness::forget(store.path(), &session.id);
                swept.closed.push((session, reason));
            }
        }
        match sessions.next {
            Some(next) => page = PageRequest::new(PAGE).after(next),
            None => return Ok(swept),
        }
    }
}

/// Closes one session as abandoned, with an event that says why; returns false where it has changed meanwhile.
fn close(
    tx: &mut Transaction<'_>,
    seen: &SessionRecord,
    reason: &str,
) -> Result<bool, StateStoreError> {
    let Some(now) = tx.sessions().get(&seen.id)? else {
        return Ok(false);
    };
    if now.revision != seen.revision || now.status.is_final() {
        return Ok(false);
    }
    let revision = without_runs(tx, now)?;
    tx.sessions().end(
        &seen.id,
        SessionStatus::Abandoned,
        ChangeIf::Revision(revision),
    )?;
    let at = SystemClock::default().now_seconds();
    tx.events().append(&Event {
        id: new_id(),
        event_type: "session_abandoned".to_owned(),
        timestamp: at,
        session_id: seen.id.clone(),
        actor_type: ActorType::System,
        actor_id: "descartes-state".to_owned(),
        content: format!("the session was closed as abandoned: {reason}"),
        metadata: None,
        git_commit: None,
    })?;
    let is_own = seen
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.get(RECORDER))
        .is_some_and(Value::is_object);
    if is_own {
        abandon_agent(tx, &seen.agent_id, &seen.id, reason, at)?;
    }
    Ok(true)
}

/// Says of the run's agent that it runs no more, if it is still this run that says so.
fn abandon_agent(
    tx: &mut Transaction<'_>,
    agent_id: &str,
    session_id: &str,
    reason: &str,
    at: i64,
) -> Result<(), StateStoreError> {
    let Some(agent) = tx.agents().get(agent_id)? else {
        return Ok(());
    };
    let filter = SessionFilter::default()
        .agent(agent_id)
        .status(SessionStatus::Active);
    // Sessions that lines named are other runs' as well.
    let others = tx.sessions().list(&filter, &PageRequest::new(PAGE))?;
    let is_taken = others.items.iter().any(|session| {
        let metadata = session.metadata.as_ref();
        metadata.is_some_and(|metadata| metadata.get(RECORDER).is_some())
    });
    if agent.is_deleted || is_taken || !["idle", "running"].contains(&&*agent.state.status) {
        return Ok(());
    }
    let status = SessionStatus::Abandoned.as_str();
    let reason = format!("abandoned: {reason}");
    let metadata = json!({
        "session_id": session_id,
        "status_before": agent.state.status,
        "status_after": status,
    });
    let step = Step::to_status(agent_id, status)
        .reason(&reason)
        .timestamp(at)
        .metadata(&metadata);
    tx.agents().step(&step).map(drop)
}
