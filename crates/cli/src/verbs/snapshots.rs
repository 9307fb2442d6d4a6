//! `snapshots create`, `snapshots list` and `snapshots restore`.

use descartes_state::serde_json::json;
use descartes_state::{ChangeIf, Revision, SnapshotFilter, SnapshotOptions};

use descartes_state::{AgentRecord, SnapshotRecord, StateStoreError, Transaction, TransitionDraft};

use super::View;
use crate::failure::Failure;

pub(super) async fn create(
    view: &View<'_>,
    agent: &str,
    description: Option<&str>,
) -> Result<(), Failure> {
    let mut options = SnapshotOptions::default();
    if let Some(description) = description {
        options = options.description(description);
    }
    let id = view.store.snapshots().create(agent, &options).await?;
    let done = json!({ "snapshot_id": id, "agent_id": agent });
    view.output
        .done(&format!("snapshot {id} keeps agent {agent:?}"), &done)
}

pub(super) async fn list(view: &View<'_>, agent: Option<&str>) -> Result<(), Failure> {
    let mut filter = SnapshotFilter::default();
    if let Some(agent) = agent {
        filter = filter.agent(agent);
    }
    let page = view.store.snapshots().list(&filter, &view.page).await?;
    if let Some(agent) = agent.filter(|_| page.items.is_empty() && view.is_first)
        && view.store.agents().get(agent).await?.is_none()
    {
        return Err(Failure::not_found("agent", agent));
    }
    view.output.page(&page, |snapshot| snapshot)
}

pub(super) async fn restore(
    view: &View<'_>,
    id: &str,
    if_revision: Option<Revision>,
) -> Result<(), Failure> {
    let wanted = id.to_owned();
    let condition = if_revision.map_or(ChangeIf::Any, ChangeIf::Revision);
    // In one transaction: the snapshot that is named in the answer is the one that was restored.
    let (revision, snapshot) = view
        .store
        .transact(move |tx| {
            let snapshot = tx.snapshots().get(&wanted)?;
            let before = match &snapshot {
                Some(snapshot) => tx.agents().get(&snapshot.agent_id)?,
                None => None,
            };
            let revision = tx.snapshots().restore(&wanted, condition)?;
            if let Some(snapshot) = &snapshot {
                record(tx, before, snapshot)?;
            }
            Ok((revision, snapshot))
        })
        .await?;
    let snapshot = snapshot.ok_or_else(|| Failure::not_found("snapshot", id))?;
    let (agent, status) = (snapshot.agent_id, snapshot.status);
    let done =
        json!({ "snapshot_id": id, "agent_id": agent, "status": status, "revision": revision });
    let sentence = format!("agent {agent:?} is as snapshot {id} has it: {status}");
    view.output.done(&sentence, &done)
}

/// Records in the history that the agent went back to a snapshot.
fn record(
    tx: &mut Transaction<'_>,
    before: Option<AgentRecord>,
    snapshot: &SnapshotRecord,
) -> Result<(), StateStoreError> {
    let (state, status) = before.map_or_else(
        || ("{}".to_owned(), None),
        |before| (before.state.state_data, Some(before.state.status)),
    );
    let draft = TransitionDraft::new(&snapshot.agent_id, state, &snapshot.state_data)
        .reason(format!("restored from snapshot {}", snapshot.id))
        .metadata(json!({
            "snapshot_id": snapshot.id,
            "status_before": status,
            "status_after": snapshot.status,
        }));
    tx.transitions().record(&draft).map(drop)
}
