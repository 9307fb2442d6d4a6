//! The tasks: the list of methods.

use uuid::Uuid;

use super::methods::repository;
use crate::condition::{ChangeIf, SaveIf};
use crate::models::{NewTask, Task, TaskFilter, TaskRecord, TaskStatus};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};

macro_rules! task_methods {
    ($make:ident) => {
        $make! {
            tasks: Tasks, TaskBatch, TaskReader, TaskRepository, TaskTable, "The tasks";
            reads {
                /// Returns a task's record; `None` where there is none or it is soft-deleted.
                ///
                /// # Errors
                /// `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// # let task = descartes_state_testing::task("Process batch");
                    /// store.tasks().save(&task).await?;
                    /// let record = store.tasks().get(&task.id).await?.expect("it was saved");
                    /// assert_eq!(record.task, task);
                    /// # Ok(()) });
                    /// ```
                ]
                one fn get(id: &Uuid) -> Option<TaskRecord> {
                    |_scope| id.to_string() => |table, id| table.get(id)
                }

                /// Returns a page of tasks, those first saved last first unless the page asks for another order.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::{PageRequest, TaskFilter, TaskStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let mine = TaskFilter::default().assigned_to("agent_001").status(TaskStatus::Todo);
                    /// for record in store.tasks().list(&mine, &PageRequest::new(20)).await?.items {
                    ///     println!("{}", record.task.title);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn list(filter: &TaskFilter, page: &PageRequest) -> Page<TaskRecord> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.list(filter, page)
                }

                /// Returns how many tasks the filter picks, in rows.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter.
                example [
                    /// ```
                    /// use descartes_state::{TaskFilter, TaskStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let done = store.tasks().count(&TaskFilter::default().status(TaskStatus::Done)).await?;
                    /// assert_eq!(done, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                many fn count(filter: &TaskFilter) -> i64 {
                    |_scope| filter.clone() => |table, filter| table.count(filter)
                }
            }
            writes {
                /// Saves a task, over whatever is there; returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad field.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// # let task = descartes_state_testing::task("Process batch");
                    /// let revision = store.tasks().save(&task).await?;
                    /// assert_eq!(revision.get(), 1);
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn save(task: &Task) -> Revision {
                    |scope| NewTask::prepare(scope, task)? => |table, row| table.put(row, SaveIf::Any)
                }

                /// Saves a task if the stored row is as expected; returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad field, and what [`SaveIf`] says.
                example [
                    /// ```
                    /// use descartes_state::SaveIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let mut task = descartes_state_testing::task("Process batch");
                    /// let revision = store.tasks().save_if(&task, SaveIf::Absent).await?;
                    /// task.assigned_to = Some("agent_001".to_string());
                    /// store.tasks().save_if(&task, SaveIf::Revision(revision)).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn save_if(task: &Task, condition: SaveIf) -> Revision {
                    |scope| (NewTask::prepare(scope, task)?, condition)
                        => |table, (row, condition)| table.put(row, *condition)
                }

                /// Changes a task's status, and its `updated_at` to now; returns the row's new revision.
                ///
                /// # Errors
                /// What [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, TaskStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let task = descartes_state_testing::task("Process batch");
                    /// let revision = store.tasks().save(&task).await?;
                    /// let condition = ChangeIf::Revision(revision);
                    /// store.tasks().set_status(&task.id, TaskStatus::InProgress, condition).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn set_status(id: &Uuid, status: TaskStatus, condition: ChangeIf) -> Revision {
                    |_scope| (id.to_string(), status, condition)
                        => |table, (id, status, condition)| table.set_status(id, *status, *condition)
                }

                /// Soft-deletes a task: it is kept, but no longer found. Returns the row's new revision.
                ///
                /// # Errors
                /// What [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::ChangeIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let task = descartes_state_testing::task("Process batch");
                    /// # store.tasks().save(&task).await?;
                    /// store.tasks().delete(&task.id, ChangeIf::Any).await?;
                    /// assert!(store.tasks().get(&task.id).await?.is_none());
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn delete(id: &Uuid, condition: ChangeIf) -> Revision {
                    |_scope| (id.to_string(), condition) => |table, (id, condition)| table.delete(id, *condition)
                }

                /// Takes a soft-delete back; to a task that isn't deleted it does nothing. Returns the row's revision.
                ///
                /// # Errors
                /// `NotFound` where there never was such a task or it was purged, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::ChangeIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let task = descartes_state_testing::task("Process batch");
                    /// # store.tasks().save(&task).await?;
                    /// store.tasks().delete(&task.id, ChangeIf::Any).await?;
                    /// store.tasks().undelete(&task.id, ChangeIf::Any).await?;
                    /// assert!(store.tasks().get(&task.id).await?.is_some());
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn undelete(id: &Uuid, condition: ChangeIf) -> Revision {
                    |_scope| (id.to_string(), condition) => |table, (id, condition)| table.undelete(id, *condition)
                }

                /// Removes a task for good, deleted or not.
                ///
                /// # Errors
                /// `NotFound` where there is no such task, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::ChangeIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let task = descartes_state_testing::task("Process batch");
                    /// # store.tasks().save(&task).await?;
                    /// store.tasks().purge(&task.id, ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                FewStatements fn purge(id: &Uuid, condition: ChangeIf) -> () {
                    |_scope| (id.to_string(), condition) => |table, (id, condition)| table.purge(id, *condition)
                }
            }
        }
    };
}
pub(crate) use task_methods;

task_methods!(repository);
