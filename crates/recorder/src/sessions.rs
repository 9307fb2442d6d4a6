//! Sessions that lines name: one may be written to by several runs at once, and ends with the last of them.

use descartes_state::serde_json::{Value, json};
use descartes_state::{
    ActorType, ChangeIf, Event, Revision, SaveIf, Session, SessionRecord, SessionStatus,
    StateStoreError, Transaction, new_id,
};

/// The key of a session's metadata under which the runs stand that write to it.
const OPEN_IN: &str = "open_in";
/// The key under which the worst end stands that one of them came to so far.
const OUTCOME: &str = "outcome";

/// Returns the runs that write to a session that lines named.
pub(crate) fn open_in(metadata: Option<&Value>) -> Vec<String> {
    let runs = metadata
        .and_then(|metadata| metadata.get(OPEN_IN))
        .and_then(Value::as_array);
    runs.into_iter()
        .flatten()
        .filter_map(|run| run.as_str().map(str::to_owned))
        .collect()
}

/// Starts a session for a run, or takes up one of that name again.
pub(crate) fn open(
    tx: &mut Transaction<'_>,
    session: &Session,
    run: &str,
) -> Result<(), StateStoreError> {
    let known = tx.sessions().get(&session.id)?;
    let is_new = known.is_none();
    let mut opened = known.map_or_else(|| session.clone(), Session::from);
    let mut runs = open_in(opened.metadata.as_ref());
    if !runs.iter().any(|other| other == run) {
        runs.push(run.to_owned());
    }
    set(&mut opened, OPEN_IN, json!(runs));
    if opened.status.is_final() {
        // What it came to before is over.
        set(&mut opened, OUTCOME, Value::Null);
    }
    opened.status = SessionStatus::Active;
    opened.ended_at = None;
    if is_new {
        tx.sessions().start(&opened).map(drop)
    } else {
        tx.sessions().save_if(&opened, SaveIf::Any).map(drop)
    }
}

/// Ends a session for a run: for good, where no other run writes to it, with the worst end that one of them came to.
pub(crate) fn end(
    tx: &mut Transaction<'_>,
    id: &str,
    run: &str,
    status: SessionStatus,
    lost: u64,
) -> Result<(), StateStoreError> {
    let Some(record) = tx.sessions().get(id)? else {
        return Ok(());
    };
    let mut session = Session::from(record);
    if session.status == SessionStatus::Abandoned && id == run {
        take_up_again(tx, &session)?;
        session.status = SessionStatus::Active;
        session.ended_at = None;
        tx.sessions().save_if(&session, SaveIf::Any)?;
    } else if session.status.is_final() {
        return Ok(());
    }
    let metadata = session.metadata.as_ref();
    let before = metadata
        .and_then(|metadata| metadata.get(OUTCOME))
        .and_then(Value::as_str)
        .and_then(|outcome| outcome.parse().ok());
    let outcome = worst(before, status);
    let runs = open_in(metadata);
    let others: Vec<&String> = runs.iter().filter(|other| *other != run).collect();
    if !others.is_empty() {
        set(&mut session, OPEN_IN, json!(others));
        set(&mut session, OUTCOME, json!(outcome.as_str()));
        return tx.sessions().save_if(&session, SaveIf::Any).map(drop);
    }
    if lost > 0 || !runs.is_empty() {
        set(&mut session, OPEN_IN, Value::Null);
        set(&mut session, OUTCOME, Value::Null);
        if lost > 0 {
            set(&mut session, "lost_events", json!(lost));
        }
        tx.sessions().save_if(&session, SaveIf::Any)?;
    }
    tx.sessions().end(id, outcome, ChangeIf::Any).map(drop)
}

/// Takes the runs out of an open session that is going to be closed; returns its revision.
pub(crate) fn without_runs(
    tx: &mut Transaction<'_>,
    record: SessionRecord,
) -> Result<Revision, StateStoreError> {
    let revision = record.revision;
    if open_in(record.metadata.as_ref()).is_empty() {
        return Ok(revision);
    }
    let mut session = Session::from(record);
    set(&mut session, OPEN_IN, Value::Null);
    set(&mut session, OUTCOME, Value::Null);
    tx.sessions().save_if(&session, SaveIf::Revision(revision))
}

/// Says that a session was closed under a run that lives.
fn take_up_again(tx: &mut Transaction<'_>, session: &Session) -> Result<(), StateStoreError> {
    let event = Event {
        id: new_id(),
        event_type: "session_taken_up".to_owned(),
        timestamp: descartes_state::Clock::now_seconds(&descartes_state::SystemClock::default()),
        session_id: session.id.clone(),
        actor_type: ActorType::System,
        actor_id: "descartes-state".to_owned(),
        content: "the session was closed as abandoned while its run went on".to_owned(),
        metadata: None,
        git_commit: None,
    };
    tx.events().append(&event).map(drop)
}

fn worst(before: Option<SessionStatus>, status: SessionStatus) -> SessionStatus {
    let rank = |status: SessionStatus| match status {
        SessionStatus::Failed => 3,
        SessionStatus::Abandoned => 2,
        SessionStatus::Terminated => 1,
        _ => 0,
    };
    before
        .filter(|before| rank(*before) >= rank(status))
        .unwrap_or(status)
}

/// Sets a key of the metadata, or takes it away.
fn set(session: &mut Session, key: &str, value: Value) {
    let metadata = session.metadata.get_or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        if value.is_null() {
            metadata.remove(key);
        } else {
            metadata.insert(key.to_owned(), value);
        }
    }
}
