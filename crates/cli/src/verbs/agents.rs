//! `agents list` and `agents show`.

use descartes_state::page::Order;
use descartes_state::{AgentFilter, serde_json};

use super::View;
use crate::failure::Failure;
use crate::output::Cell::{Long, Status, Whole};
use crate::text::local_time;

pub(super) async fn list(
    view: &View<'_>,
    status: Option<&str>,
    deleted: bool,
    descending: bool,
) -> Result<(), Failure> {
    let mut filter = AgentFilter::default();
    if let Some(status) = status {
        filter = filter.status(status);
    }
    if deleted {
        filter = filter.include_deleted();
    }
    let mut page = view.page.clone();
    if descending {
        page = page.order(Order::Descending);
    }
    let page = view.store.agents().list(&filter, &page).await?;
    view.output.page(&page, |agent| agent)
}

pub(super) async fn show(view: &View<'_>, agent: &str) -> Result<(), Failure> {
    let found = view.store.agents().get(agent).await?;
    let record = found.ok_or_else(|| Failure::not_found("agent", agent))?;
    if view.output.is_json() {
        return view.output.document(&serde_json::to_value(&record)?);
    }
    let state = record.state;
    view.output.sides(&[
        ("agent", Whole(state.agent_id)),
        ("prefix", Whole(record.namespace)),
        ("name", Whole(state.name)),
        ("status", Status(state.status)),
        ("created", Whole(local_time(state.created_at))),
        ("updated", Whole(local_time(state.updated_at))),
        ("revision", Whole(record.revision.to_string())),
        ("version", Whole(state.version.to_string())),
        ("metadata", Long(state.metadata.to_string())),
        ("state", Long(state.state_data)),
    ])
}
