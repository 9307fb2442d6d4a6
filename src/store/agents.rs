//! The states of agents.

use super::handle::handle;
use crate::condition::{ChangeIf, SaveIf};
use crate::engine::ReadExtent;
use crate::error::StateStoreError;
use crate::models::{
    AgentFilter, AgentId, AgentRecord, AgentState, NewAgent, NewStep, Step, Stepped,
};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};
use crate::repository::{agent_methods, on_table, update_text};
use crate::state_store::cancellation;

agent_methods!(handle);

impl Agents<'_> {
    #[doc = update_text!()]
    /// Like every closure of the caller's it runs on the runtime's blocking pool, in a transaction of its own.
    #[doc = cancellation!()]
    /// ```
    /// use descartes_state::ChangeIf;
    ///
    /// # descartes_state_testing::example(async |store| {
    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
    /// let step = |state: &mut descartes_state::AgentState| {
    ///     state.status = "running".to_string();
    ///     state.state_data = r#"{"step":2}"#.to_string();
    ///     Ok(())
    /// };
    /// store.agents().update("agent_001", ChangeIf::Any, step).await?;
    /// # Ok(()) });
    /// ```
    pub async fn update<F>(
        &self,
        agent_id: &str,
        condition: ChangeIf,
        change: F,
    ) -> Result<Revision, StateStoreError>
    where
        F: FnOnce(&mut AgentState) -> Result<(), StateStoreError> + Send + 'static,
    {
        let agent_id = agent_id.to_owned();
        self.core
            .transact("agents.update", move |transaction| {
                transaction.agents().update(&agent_id, condition, change)
            })
            .await
    }

    pub(super) async fn all(&self) -> Result<Vec<AgentState>, StateStoreError> {
        self.core
            .read("agents.list", ReadExtent::Many, |backend| {
                on_table!(backend, AgentTable, |table| table.all())
            })
            .await
    }
}
