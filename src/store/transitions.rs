//! The transitions of agents' states.

use uuid::Uuid;

use super::handle::handle;
use crate::engine::{ListKind, ReadExtent};
use crate::error::StateStoreError;
use crate::models::{
    NewTransition, StateTransition, TransitionDraft, TransitionFilter, TransitionRecord,
};
use crate::numbers::Seq;
use crate::page::{Page, PageRequest};
use crate::repository::{on_table, transition_methods};

transition_methods!(handle);

impl Transitions<'_> {
    pub(super) async fn newest(
        &self,
        agent_id: &str,
        limit: u32,
    ) -> Result<Vec<StateTransition>, StateStoreError> {
        let agent_id = agent_id.to_owned();
        // By agent and number: an index bounds it.
        let extent = ReadExtent::Page(ListKind::Transitions, limit as usize);
        self.core
            .read("transitions.list", extent, move |backend| {
                on_table!(backend, TransitionTable, |table| table
                    .newest(&agent_id, limit))
            })
            .await
    }
}
