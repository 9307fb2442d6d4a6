//! `tasks list`, `sessions list` and `sessions sweep`.

use std::collections::HashMap;
use std::time::Duration;

use descartes_state::serde_json::json;
use descartes_state::{SessionFilter, SessionStatus, TaskFilter, TaskStatus};

use descartes_state_recorder::sweep::{self, Judge};

use super::View;
use super::rows::MarkedSession;
use crate::failure::Failure;
use crate::text::local_time;

pub(super) async fn tasks(
    view: &View<'_>,
    status: Option<TaskStatus>,
    assigned_to: Option<&str>,
) -> Result<(), Failure> {
    let mut filter = TaskFilter::default();
    if let Some(status) = status {
        filter = filter.status(status);
    }
    if let Some(agent) = assigned_to {
        filter = filter.assigned_to(agent);
    }
    let page = view.store.tasks().list(&filter, &view.page).await?;
    view.output.page(&page, |task| task)
}

pub(super) async fn sessions(
    view: &View<'_>,
    agent: Option<&str>,
    status: Option<SessionStatus>,
) -> Result<(), Failure> {
    let mut filter = SessionFilter::default();
    if let Some(agent) = agent {
        filter = filter.agent(agent);
    }
    if let Some(status) = status {
        filter = filter.status(status);
    }
    let page = view.store.sessions().list(&filter, &view.page).await?;
    let mut judge = Judge::new(view.store);
    let mut marks = HashMap::new();
    for session in &page.items {
        if let Some(liveness) = judge.judge(view.store, session).await? {
            marks.insert(session.id.clone(), liveness);
        }
    }
    view.output.page(&page, |session| MarkedSession {
        session,
        liveness: marks.get(&session.id),
    })
}

pub(super) async fn sweep(view: &View<'_>, silent_for: Option<Duration>) -> Result<(), Failure> {
    let swept = sweep::sweep(view.store, silent_for).await?;
    let closed: Vec<_> = swept
        .closed
        .iter()
        .map(|(session, reason)| json!({ "session_id": session.id, "agent_id": session.agent_id, "reason": reason }))
        .collect();
    let silent: Vec<_> = swept
        .silent
        .iter()
        .map(|session| json!({ "session_id": session.id, "agent_id": session.agent_id, "silent_since": session.updated_at }))
        .collect();
    let mut sentence = format!("{} sessions were closed as abandoned", closed.len());
    for (session, reason) in &swept.closed {
        sentence.push_str(&format!("\n{}: {reason}", session.id));
    }
    for session in &swept.silent {
        let since = local_time(session.updated_at);
        sentence.push_str(&format!(
            "\n{}: silent since {since}, still open",
            session.id
        ));
    }
    view.output
        .done(&sentence, &json!({ "closed": closed, "silent": silent }))
}
