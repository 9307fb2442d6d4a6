//! Agents as the recorder changes them.

use descartes_state::serde_json::json;
use descartes_state::{AgentState, Clock, StateStoreError, SystemClock, Transaction};

/// Returns an agent's state with a change. Where there is no agent, or it was deleted, it is a new one: who writes of it has
/// it.
pub(crate) fn changed(
    tx: &mut Transaction<'_>,
    agent_id: &str,
    change: impl FnOnce(&mut AgentState),
) -> Result<AgentState, StateStoreError> {
    let now = SystemClock::default().now_seconds();
    let known = tx.agents().get(agent_id)?;
    let mut state = match known {
        Some(record) => record.state,
        None => AgentState {
            agent_id: agent_id.to_owned(),
            name: agent_id.to_owned(),
            status: String::new(),
            metadata: json!({}),
            state_data: "{}".to_owned(),
            created_at: now,
            updated_at: now,
            version: 1,
        },
    };
    state.updated_at = now;
    change(&mut state);
    Ok(state)
}

/// Changes an agent, and leaves no transition.
pub(crate) fn change_agent(
    tx: &mut Transaction<'_>,
    agent_id: &str,
    change: impl FnOnce(&mut AgentState),
) -> Result<(), StateStoreError> {
    let state = changed(tx, agent_id, change)?;
    tx.agents().save(&state).map(drop)
}
