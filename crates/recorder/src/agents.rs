//! Agents as the recorder changes them.

use descartes_state::error::ErrorKind;
use descartes_state::serde_json::json;
use descartes_state::{AgentState, ChangeIf, Clock, StateStoreError, SystemClock, Transaction};

/// Changes an agent, which is made first where there is none, or where it was deleted: who writes of it has it.
pub(crate) fn change_agent(
    tx: &mut Transaction<'_>,
    agent_id: &str,
    change: impl Fn(&mut AgentState),
) -> Result<(), StateStoreError> {
    let changed = tx.agents().update(agent_id, ChangeIf::Any, |state| {
        change(state);
        Ok(())
    });
    match changed {
        Err(error) if [ErrorKind::NotFound, ErrorKind::Deleted].contains(&error.kind()) => {}
        changed => return changed.map(drop),
    }
    let now = SystemClock::default().now_seconds();
    let mut state = AgentState {
        agent_id: agent_id.to_owned(),
        name: agent_id.to_owned(),
        status: String::new(),
        metadata: json!({}),
        state_data: "{}".to_owned(),
        created_at: now,
        updated_at: now,
        version: 1,
    };
    change(&mut state);
    tx.agents().save(&state).map(drop)
}
