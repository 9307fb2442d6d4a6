//! The transitions of agents' states.

use uuid::Uuid;

use super::handle::handle;
use crate::error::StateStoreError;
use crate::models::{
    NewTransition, StateTransition, TransitionDraft, TransitionFilter, TransitionRecord,
};
use crate::numbers::Seq;
use crate::page::{Page, PageRequest};
use crate::repository::{on_table, transition_methods};
use crate::store::core::ReadExtent;

transition_methods!(handle);

impl Transitions<'_> {
    pub(super) async fn newest(
        &self,
        agent_id: &str,
        limit: u32,
    ) -> Result<Vec<StateTransition>, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.core
            .read("transitions.list", ReadExtent::Many, move |backend| {
                on_table!(backend, TransitionTable, |table| table
                    .newest(&agent_id, limit))
            })
            .await
    }
}
