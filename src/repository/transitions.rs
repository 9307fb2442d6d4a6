//! The transitions of agents' states: the list of methods.

use uuid::Uuid;

use super::methods::repository;
use crate::models::{NewTransition, TransitionDraft, TransitionFilter, TransitionRecord};
use crate::numbers::Seq;
use crate::page::{Page, PageRequest};

macro_rules! transition_methods {
    ($make:ident) => {
        $make! {
            transitions: Transitions, TransitionBatch, TransitionReader, TransitionRepository, TransitionTable,
            "The transitions of agents' states";
            reads {
                /// Returns a transition; `None` where there is none.
                ///
                /// # Errors
                /// `Corrupt` for a row that can't be decoded, `TooLarge` for one above the limit of its reader.
                example [
                    /// ```
                    /// use descartes_state::{TransitionDraft, new_id};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let id = new_id();
                    /// let draft = TransitionDraft::new("agent_001", "idle", "running").id(id);
                    /// store.transitions().record(&draft).await?;
                    /// let record = store.transitions().get(&id).await?.expect("it was recorded");
                    /// assert_eq!(record.transition.state_after, "running");
                    /// # Ok(()) });
                    /// ```
                ]
                one fn get(id: &Uuid) -> Option<TransitionRecord> {
                    |_scope| id.to_string() => |table, id| table.find(id)
                }

                /// Returns a page of transitions, newest first unless the page asks for another order.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::{PageRequest, TransitionFilter};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let of_agent = TransitionFilter::default().agent("agent_001");
                    /// for record in store.transitions().list(&of_agent, &PageRequest::new(50)).await?.items {
                    ///     println!("{}: {:?}", record.seq, record.transition.reason);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn list(filter: &TransitionFilter, page: &PageRequest) -> Page<TransitionRecord> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.list(filter, page)
                }

                /// Returns how many transitions the filter picks, in rows.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter.
                example [
                    /// ```
                    /// use descartes_state::TransitionFilter;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let all = store.transitions().count(&TransitionFilter::default()).await?;
                    /// assert_eq!(all, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                many fn count(filter: &TransitionFilter) -> i64 {
                    |_scope| filter.clone() => |table, filter| table.count(filter)
                }
            }
            writes {
                /// Records a transition; returns its sequence number. One whose draft has an id, and that is stored already with
                /// the same content, is left as it is.
                ///
                /// # Errors
                /// `Conflict` where the id holds other content; `InvalidInput` or `TooLarge` for a bad field.
                example [
                    /// ```
                    /// use descartes_state::TransitionDraft;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let draft = TransitionDraft::new("agent_001", "idle", "running").reason("started");
                    /// let seq = store.transitions().record(&draft).await?;
                    /// assert_eq!(seq.get(), 1);
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn record(draft: &TransitionDraft) -> Seq {
                    |scope| NewTransition::prepare(scope, draft)? => |table, row| table.put(row)
                }

                /// Removes the transitions whose `timestamp` is before this Unix second; returns how many, in rows.
                ///
                /// # Errors
                /// Only the database's.
                example [
                    /// ```
                    /// # descartes_state_testing::example(async |store| {
                    /// let removed = store.transitions().purge_before(1_700_000_000).await?;
                    /// assert_eq!(removed, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                Bulk fn purge_before(seconds: i64) -> usize {
                    |_scope| seconds => |table, seconds| table.purge_before(*seconds)
                }
            }
        }
    };
}
pub(crate) use transition_methods;

transition_methods!(repository);
