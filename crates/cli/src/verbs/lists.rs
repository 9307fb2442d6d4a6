//! `tasks list` and `sessions list`.

use descartes_state::{SessionFilter, SessionStatus, TaskFilter, TaskStatus};

use super::View;
use crate::failure::Failure;

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
    view.output.page(&page, |session| session)
}
