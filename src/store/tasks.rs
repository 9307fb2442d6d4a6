//! The tasks.

use uuid::Uuid;

use super::handle::handle;
use crate::condition::{ChangeIf, SaveIf};
use crate::engine::ReadExtent;
use crate::error::StateStoreError;
use crate::models::{NewTask, Task, TaskFilter, TaskRecord, TaskStatus};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};
use crate::repository::{on_table, task_methods};

task_methods!(handle);

impl Tasks<'_> {
    pub(super) async fn all(&self) -> Result<Vec<Task>, StateStoreError> {
        self.core
            .read("tasks.list", ReadExtent::Many, |backend| {
                on_table!(backend, TaskTable, |table| table.all())
            })
            .await
    }
}
