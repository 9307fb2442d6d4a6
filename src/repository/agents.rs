//! The states of agents: the list of methods.

use super::methods::repository;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{
    AgentFilter, AgentId, AgentRecord, AgentState, NewAgent, NewStep, Step, Stepped,
};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};

macro_rules! agent_methods {
    ($make:ident) => {
        $make! {
            agents: Agents, AgentBatch, AgentReader, AgentRepository, AgentTable, "The states of agents";
            reads {
                /// Returns an agent's record; `None` where there is none or it is soft-deleted.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad id, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// if let Some(record) = store.agents().get("agent_001").await? {
                    ///     println!("{} at revision {}", record.state.status, record.revision);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                one fn get(agent_id: &str) -> Option<AgentRecord> {
                    |scope| AgentId::prepare(scope, agent_id)? => |table, id| table.get(id)
                }

                /// Returns an agent's state; `None` where there is none or it is soft-deleted. It reads the guide's fields and no
                /// more.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad id, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// if let Some(state) = store.agents().state("agent_001").await? {
                    ///     println!("{}", state.status);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                one fn state(agent_id: &str) -> Option<AgentState> {
                    |scope| AgentId::prepare(scope, agent_id)? => |table, id| table.state(id)
                }

                /// Returns a page of agents, by rising id unless the page asks for another order.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::{AgentFilter, PageRequest};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let running = AgentFilter::default().status("running");
                    /// let mut page = PageRequest::new(100);
                    /// loop {
                    ///     let agents = store.agents().list(&running, &page).await?;
                    ///     println!("{} agents", agents.items.len());
                    ///     match agents.next {
                    ///         Some(cursor) => page = page.after(cursor),
                    ///         None => break,
                    ///     }
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn list(filter: &AgentFilter, page: &PageRequest) -> Page<AgentRecord> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.list(filter, page)
                }

                /// Returns a page of agents' states as [`list`](Self::list) does, without what the store keeps beside them: it
                /// reads less.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::{AgentFilter, PageRequest};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let idle = AgentFilter::default().status("idle");
                    /// for state in store.agents().states(&idle, &PageRequest::new(50)).await?.items {
                    ///     println!("{}: {}", state.agent_id, state.name);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn states(filter: &AgentFilter, page: &PageRequest) -> Page<AgentState> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.states(filter, page)
                }

                /// Returns how many agents the filter picks, in rows.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter.
                example [
                    /// ```
                    /// use descartes_state::AgentFilter;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let idle = store.agents().count(&AgentFilter::default().status("idle")).await?;
                    /// assert_eq!(idle, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                many fn count(filter: &AgentFilter) -> i64 {
                    |_scope| filter.clone() => |table, filter| table.count(filter)
                }
            }
            writes {
                /// Saves an agent's state, over whatever is there; returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad field.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// # let state = descartes_state_testing::agent("agent_001");
                    /// let revision = store.agents().save(&state).await?;
                    /// assert_eq!(revision.get(), 1);
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn save(state: &AgentState) -> Revision {
                    |scope| NewAgent::prepare(scope, state)? => |table, row| table.put(row, SaveIf::Any)
                }

                /// Saves an agent's state if the stored row is as expected; returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad field, and what [`SaveIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{SaveIf, StateStoreError};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let state = descartes_state_testing::agent("agent_001");
                    /// let revision = store.agents().save_if(&state, SaveIf::Absent).await?;
                    /// store.agents().save_if(&state, SaveIf::Revision(revision)).await?;
                    /// match store.agents().save_if(&state, SaveIf::Revision(revision)).await {
                    ///     Err(StateStoreError::Conflict { actual, .. }) => println!("it is at {actual} by now"),
                    ///     other => panic!("{other:?}"),
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn save_if(state: &AgentState, condition: SaveIf) -> Revision {
                    |scope| (NewAgent::prepare(scope, state)?, condition)
                        => |table, (row, condition)| table.put(row, *condition)
                }

                /// Takes a step of an agent's loop: its new state, the transition to it, events, and a sign of life of its
                /// session, all or nothing; returns what was written. See [`Step`](crate::Step).
                ///
                /// A step to a status or to state data sets the agent's `updated_at` to now.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad field; what [`SaveIf`] says of a step to a whole state, [`ChangeIf`] of
                /// one to a status or state data; `Conflict` for an event or a transition whose id holds other content;
                /// `NotFound` or `InvalidState` for the session.
                example [
                    /// ```
                    /// use descartes_state::Step;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let state = descartes_state_testing::agent("agent_001");
                    /// # let event = descartes_state_testing::event("the tests pass");
                    /// let step = Step::to(&state).reason("the tests pass").event(&event);
                    /// let stepped = store.agents().step(&step).await?;
                    /// assert_eq!(stepped.revision.get(), 1);
                    /// # Ok(()) });
                    /// ```
                ]
                FewStatements fn step(step: &Step<'_>) -> Stepped {
                    |scope| NewStep::prepare(scope, step)? => |table, step| table.step(step)
                }

                /// Changes an agent's status, and its `updated_at` to now; returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad argument, and what [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::ChangeIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// store.agents().set_status("agent_001", "paused", ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn set_status(agent_id: &str, status: &str, condition: ChangeIf) -> Revision {
                    |scope| (
                        scope.limits.id("agent_id", agent_id)?.to_owned(),
                        scope.limits.id("status", status)?.to_owned(),
                        condition,
                    ) => |table, (id, status, condition)| table.set_status(id, status, *condition)
                }

                /// Soft-deletes an agent: it is kept, but no longer found. Returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad id, and what [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::ChangeIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// store.agents().delete("agent_001", ChangeIf::Any).await?;
                    /// assert!(store.agents().get("agent_001").await?.is_none());
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn delete(agent_id: &str, condition: ChangeIf) -> Revision {
                    |scope| (scope.limits.id("agent_id", agent_id)?.to_owned(), condition)
                        => |table, (id, condition)| table.delete(id, *condition)
                }

                /// Takes a soft-delete back; to an agent that isn't deleted it does nothing. Returns the row's revision.
                ///
                /// # Errors
                /// `NotFound` where there never was such an agent or it was purged, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::ChangeIf;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # store.agents().save(&descartes_state_testing::agent("agent_001")).await?;
                    /// let deleted = store.agents().delete("agent_001", ChangeIf::Any).await?;
                    /// store.agents().undelete("agent_001", ChangeIf::Revision(deleted)).await?;
                    /// assert!(store.agents().get("agent_001").await?.is_some());
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn undelete(agent_id: &str, condition: ChangeIf) -> Revision {
                    |scope| (scope.limits.id("agent_id", agent_id)?.to_owned(), condition)
                        => |table, (id, condition)| table.undelete(id, *condition)
                }

                /// Removes an agent for good, deleted or not, and its snapshots. Its events, transitions, tasks and sessions
                /// stay.
                ///
                /// # Errors
                /// `NotFound` where there is no such agent, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, SaveIf};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// # let state = descartes_state_testing::agent("agent_001");
                    /// let old = store.agents().save(&state).await?;
                    /// store.agents().purge("agent_001", ChangeIf::Any).await?;
                    /// // Revisions go on rising, so an old writer can't match the new row.
                    /// let new = store.agents().save_if(&state, SaveIf::Absent).await?;
                    /// assert!(new > old);
                    /// # Ok(()) });
                    /// ```
                ]
                Bulk fn purge(agent_id: &str, condition: ChangeIf) -> () {
                    |scope| (scope.limits.id("agent_id", agent_id)?.to_owned(), condition)
                        => |table, (id, condition)| table.purge(id, *condition)
                }
            }
        }
    };
}
pub(crate) use agent_methods;

agent_methods!(repository);

/// What `update` does, for the handle and the repository alike.
macro_rules! update_text {
    () => {
        "Reads an agent's state, lets the closure change it, and saves it, in one operation; returns the row's new revision.

The closure sees `updated_at` as now, and may set another time. What it changes is saved when it returns `Ok`; when it
returns `Err` or panics, nothing is. The agent's id can't be changed.

# Errors
`NotFound`, `Deleted` and `Conflict` as [`ChangeIf`] says, `InvalidInput` or `TooLarge` for a bad field, the closure's own."
    };
}
pub(crate) use update_text;

impl AgentRepository<'_> {
    #[doc = update_text!()]
    pub fn update(
        &mut self,
        agent_id: &str,
        condition: ChangeIf,
        change: impl FnOnce(&mut AgentState) -> Result<(), StateStoreError>,
    ) -> Result<Revision, StateStoreError> {
        let agent_id = self.backend.scope().limits.id("agent_id", agent_id)?;
        super::on_table!(&mut self.backend, AgentTable, |table| {
            table.update(agent_id, condition, change)
        })
    }
}
