//! The snapshots of agents' states.

use super::handle::handle;
use crate::condition::ChangeIf;
use crate::engine::ReadExtent;
use crate::error::StateStoreError;
use crate::models::{NewSnapshot, SnapshotChange, SnapshotFilter, SnapshotOptions, SnapshotRecord};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};
use crate::repository::{on_table, snapshot_methods};

snapshot_methods!(handle);

impl Snapshots<'_> {
    pub(super) async fn all(
        &self,
        agent_id: &str,
    ) -> Result<Vec<(String, Option<String>, i64)>, StateStoreError> {
        let agent_id = agent_id.to_owned();
        self.core
            .read("snapshots.list", ReadExtent::Many, move |backend| {
                on_table!(backend, SnapshotTable, |table| table.all(&agent_id))
            })
            .await
    }
}
