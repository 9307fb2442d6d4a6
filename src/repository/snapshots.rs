//! The snapshots of agents' states: the list of methods.

use super::methods::repository;
use crate::condition::ChangeIf;
use crate::models::{NewSnapshot, SnapshotChange, SnapshotFilter, SnapshotOptions, SnapshotRecord};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};

macro_rules! snapshot_methods {
    ($make:ident) => {
        $make! {
            snapshots: Snapshots, SnapshotBatch, SnapshotReader, SnapshotRepository, SnapshotTable,
            "The snapshots of agents' states";
            reads {
                /// Returns a snapshot; `None` where there is none or it has expired.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad id, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// assert!(store.snapshots().get("no such snapshot").await?.is_none());
                    /// # Ok(()) });
                    /// ```
                ]
                one fn get(id: &str) -> Option<SnapshotRecord> {
                    |scope| scope.limits.id("snapshot_id", id)?.to_owned() => |table, id| table.get(id)
                }

                /// Returns a page of snapshots, newest first unless the page asks for another order.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::{PageRequest, SnapshotFilter};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let of_agent = SnapshotFilter::default().agent("agent_001");
                    /// for snapshot in store.snapshots().list(&of_agent, &PageRequest::new(20)).await?.items {
                    ///     println!("{}: {:?}", snapshot.id, snapshot.description);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn list(filter: &SnapshotFilter, page: &PageRequest) -> Page<SnapshotRecord> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.list(filter, page)
                }

                /// Returns how many snapshots the filter picks, in rows.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter.
                example [
                    /// ```
                    /// use descartes_state::SnapshotFilter;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let all = store.snapshots().count(&SnapshotFilter::default().include_expired()).await?;
                    /// assert_eq!(all, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                many fn count(filter: &SnapshotFilter) -> i64 {
                    |_scope| filter.clone() => |table, filter| table.count(filter)
                }
            }
            writes {
                /// Keeps an agent's whole state as it is now; returns the snapshot's id.
                ///
                /// # Errors
                /// `NotFound` where there is no such agent, `InvalidInput` or `TooLarge` for a bad argument.
                example [
                    /// ```
                    /// use descartes_state::SnapshotOptions;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// let options = SnapshotOptions::default().description("before the upgrade");
                    /// let id = store.snapshots().create("agent_001", &options).await?;
                    /// # assert!(!id.is_empty());
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn create(agent_id: &str, options: &SnapshotOptions) -> String {
                    |scope| NewSnapshot::prepare(scope, agent_id, options)? => |table, snapshot| table.put(snapshot)
                }

                /// Writes a snapshot's whole state over its agent's, also over one that was soft-deleted since. The condition is
                /// of the agent's row; returns the agent's new revision.
                ///
                /// The state is copied as it is stored. That it can be decoded is checked before.
                ///
                /// # Errors
                /// `NotFound` where there is no such snapshot, `InvalidState` where it has expired, `Corrupt` where it can't be
                /// decoded, and what [`ChangeIf`] says of the agent.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, SnapshotOptions};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// let id = store.snapshots().create("agent_001", &SnapshotOptions::default()).await?;
                    /// let broken = store.agents().set_status("agent_001", "broken", ChangeIf::Any).await?;
                    /// store.snapshots().restore(&id, ChangeIf::Revision(broken)).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement after get(id) fn restore(id: &str, condition: ChangeIf) -> Revision {
                    |scope| (scope.limits.id("snapshot_id", id)?.to_owned(), condition)
                        => |table, (id, condition)| table.restore(id, *condition)
                }

                /// Sets a snapshot's description and expiry, both; returns the row's new revision. What it holds never
                /// changes.
                ///
                /// # Errors
                /// `InvalidState` where the snapshot has expired, `InvalidInput` or `TooLarge` for a bad argument, and what
                /// [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, SnapshotOptions};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// let id = store.snapshots().create("agent_001", &SnapshotOptions::default()).await?;
                    /// let until = SnapshotOptions::default().expires_at(4_000_000_000);
                    /// store.snapshots().update(&id, &until, ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn update(id: &str, options: &SnapshotOptions, condition: ChangeIf) -> Revision {
                    |scope| (
                        scope.limits.id("snapshot_id", id)?.to_owned(),
                        SnapshotChange::prepare(scope, options)?,
                        condition,
                    ) => |table, (id, change, condition)| table.update(id, change, *condition)
                }

                /// Removes a snapshot for good, expired or not.
                ///
                /// # Errors
                /// `NotFound` where there is no such snapshot, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, SnapshotOptions};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// let id = store.snapshots().create("agent_001", &SnapshotOptions::default()).await?;
                    /// store.snapshots().purge(&id, ChangeIf::Any).await?;
                    /// assert!(store.snapshots().get(&id).await?.is_none());
                    /// # Ok(()) });
                    /// ```
                ]
                FewStatements fn purge(id: &str, condition: ChangeIf) -> () {
                    |scope| (scope.limits.id("snapshot_id", id)?.to_owned(), condition)
                        => |table, (id, condition)| table.purge(id, *condition)
                }

                /// Removes every snapshot that has expired; returns how many, in rows.
                ///
                /// # Errors
                /// Only the database's.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// let removed = store.snapshots().purge_expired().await?;
                    /// assert_eq!(removed, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                Bulk fn purge_expired() -> usize {
                    |_scope| () => |table, _| table.purge_expired()
                }
            }
        }
    };
}
pub(crate) use snapshot_methods;

snapshot_methods!(repository);
