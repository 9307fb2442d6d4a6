//! The sessions: the list of methods.

use super::methods::repository;
use crate::condition::{ChangeIf, SaveIf};
use crate::models::{NewSession, Session, SessionFilter, SessionRecord, SessionStatus};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};

macro_rules! session_methods {
    ($make:ident) => {
        $make! {
            sessions: Sessions, SessionBatch, SessionReader, SessionRepository, SessionTable, "The sessions";
            reads {
                /// Returns a session's record; `None` where there is none or it is soft-deleted.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad id, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::Session;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// let record = store.sessions().get("session_001").await?.expect("it was started");
                    /// println!("{} since {}", record.status, record.started_at);
                    /// # Ok(()) });
                    /// ```
                ]
                one fn get(id: &str) -> Option<SessionRecord> {
                    |scope| scope.limits.id("session_id", id)?.to_owned() => |table, id| table.get(id)
                }

                /// Returns a page of sessions, those first started last first unless the page asks for another order.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter or page, `Corrupt` for a row that can't be decoded.
                example [
                    /// ```
                    /// use descartes_state::{PageRequest, SessionFilter, SessionStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let open = SessionFilter::default().agent("agent_001").status(SessionStatus::Active);
                    /// for session in store.sessions().list(&open, &PageRequest::new(20)).await?.items {
                    ///     println!("{}", session.id);
                    /// }
                    /// # Ok(()) });
                    /// ```
                ]
                page fn list(filter: &SessionFilter, page: &PageRequest) -> Page<SessionRecord> {
                    |_scope| (filter.clone(), page.clone()) => |table, (filter, page)| table.list(filter, page)
                }

                /// Returns how many sessions the filter picks, in rows.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad filter.
                example [
                    /// ```
                    /// use descartes_state::{SessionFilter, SessionStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// let failed = SessionFilter::default().status(SessionStatus::Failed);
                    /// assert_eq!(store.sessions().count(&failed).await?, 0);
                    /// # Ok(()) });
                    /// ```
                ]
                many fn count(filter: &SessionFilter) -> i64 {
                    |_scope| filter.clone() => |table, filter| table.count(filter)
                }
            }
            writes {
                /// Starts a session; returns the row's revision.
                ///
                /// # Errors
                /// `Conflict` where the session exists; `InvalidInput` or `TooLarge` for a bad field.
                example [
                    /// ```
                    /// use descartes_state::Session;
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn start(session: &Session) -> Revision {
                    |scope| NewSession::prepare(scope, session)? => |table, row| table.put(row, SaveIf::Absent)
                }

                /// Saves a session whole if the stored row is as expected; returns the row's new revision. Without a
                /// `started_at` of the caller's, a session that is stored keeps its own.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad field, and what [`SaveIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{SaveIf, Session, SessionStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// let record = store.sessions().get("session_001").await?.expect("it was started");
                    /// let revision = record.revision;
                    /// let mut session = Session::from(record);
                    /// session.status = SessionStatus::Suspended;
                    /// store.sessions().save_if(&session, SaveIf::Revision(revision)).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn save_if(session: &Session, condition: SaveIf) -> Revision {
                    |scope| (NewSession::prepare(scope, session)?, condition)
                        => |table, (row, condition)| table.put(row, *condition)
                }

                /// Sets a session's `updated_at` to now: it is alive. Returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidState` where the session is over, `InvalidInput` or `TooLarge` for a bad id, and what [`ChangeIf`]
                /// says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, Session};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// store.sessions().touch("session_001", ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn touch(id: &str, condition: ChangeIf) -> Revision {
                    |scope| (scope.limits.id("session_id", id)?.to_owned(), condition)
                        => |table, (id, condition)| table.touch(id, *condition)
                }

                /// Ends a session now, with a final status; returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidState` where the session is over already, `InvalidInput` where the status isn't final, and what
                /// [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, Session, SessionStatus};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// store.sessions().end("session_001", SessionStatus::Completed, ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn end(id: &str, status: SessionStatus, condition: ChangeIf) -> Revision {
                    |scope| (
                        scope.limits.id("session_id", id)?.to_owned(),
                        status.require_final()?,
                        condition,
                    ) => |table, (id, status, condition)| table.end(id, *status, *condition)
                }

                /// Soft-deletes a session: it is kept, but no longer found. Returns the row's new revision.
                ///
                /// # Errors
                /// `InvalidInput` or `TooLarge` for a bad id, and what [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, Session};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// store.sessions().delete("session_001", ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn delete(id: &str, condition: ChangeIf) -> Revision {
                    |scope| (scope.limits.id("session_id", id)?.to_owned(), condition)
                        => |table, (id, condition)| table.delete(id, *condition)
                }

                /// Takes a soft-delete back; to a session that isn't deleted it does nothing. Returns the row's revision.
                ///
                /// # Errors
                /// `NotFound` where there never was such a session or it was purged, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, Session};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// store.sessions().delete("session_001", ChangeIf::Any).await?;
                    /// store.sessions().undelete("session_001", ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                SingleStatement fn undelete(id: &str, condition: ChangeIf) -> Revision {
                    |scope| (scope.limits.id("session_id", id)?.to_owned(), condition)
                        => |table, (id, condition)| table.undelete(id, *condition)
                }

                /// Removes a session for good, deleted or not.
                ///
                /// # Errors
                /// `NotFound` where there is no such session, `Conflict` as [`ChangeIf`] says.
                example [
                    /// ```
                    /// use descartes_state::{ChangeIf, Session};
                    ///
                    /// # descartes_state_testing::example(async |store| {
                    /// store.sessions().start(&Session::new("session_001", "agent_001")).await?;
                    /// store.sessions().purge("session_001", ChangeIf::Any).await?;
                    /// # Ok(()) });
                    /// ```
                ]
                FewStatements fn purge(id: &str, condition: ChangeIf) -> () {
                    |scope| (scope.limits.id("session_id", id)?.to_owned(), condition)
                        => |table, (id, condition)| table.purge(id, *condition)
                }
            }
        }
    };
}
pub(crate) use session_methods;

session_methods!(repository);
