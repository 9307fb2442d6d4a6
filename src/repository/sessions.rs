//! Sessions.

use diesel::dsl::{And, Eq, case_when, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;

use super::prepared::prepared;
use super::revision::{Current, Subject, change};
use super::{Connection, in_sequence};
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{
    NewSession, Scope, Session, SessionFilter, SessionRecord, SessionRow, SessionStatus,
};
use crate::page::{Page, PageRequest, SequenceBounds};
use crate::schema::sessions;

/// The sessions, within one transaction and namespace.
pub struct SessionRepository<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
}

/// Picks one row by its key.
type OneRow<'t> = And<Eq<sessions::namespace, &'t str>, Eq<sessions::id, String>>;

impl<'t> SessionRepository<'t> {
    pub(super) fn new(connection: &'t mut Connection, scope: &'t Scope) -> Self {
        Self { connection, scope }
    }

    /// Starts a session; gives the row's revision.
    ///
    /// # Errors
    /// `Conflict` where the session exists; `InvalidInput` or `TooLarge` for a bad field.
    pub fn start(&mut self, session: &Session) -> Result<i64, StateStoreError> {
        self.save_if(session, Expected::Absent)
    }

    /// Saves a session whole if the stored row is as expected; gives the row's new revision.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad field, and what [`Expected`] says.
    pub fn save_if(
        &mut self,
        session: &Session,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let row = NewSession::prepare(self.scope, session)?;
        self.put(&row, expected)
    }

    pub(crate) fn put(
        &mut self,
        row: &NewSession,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        let current = self.current(&row.id)?;
        let subject = subject(&row.id);
        subject.may_save(expected, current)?;
        let revision = subject.saved_revision(self.connection, &row.namespace, current)?;
        use sessions as columns;
        if current.is_none() {
            let insert =
                diesel::insert_into(sessions::table).values((row, columns::revision.eq(revision)));
            prepared!(insert).write(self.connection)?;
            return Ok(revision);
        }
        // Not an upsert: that would check and build the row twice.
        let update = diesel::update(sessions::table.filter(self.row(&row.id))).set((
            columns::agent_id.eq(&row.agent_id),
            columns::started_at.eq(row.started_at),
            columns::ended_at.eq(row.ended_at),
            columns::status.eq(row.status),
            columns::metadata.eq(&row.metadata),
            columns::updated_at.eq(row.updated_at),
            columns::recorded_at.eq(row.recorded_at),
            // An update keeps the stored time; a deleted row begins anew.
            columns::created_at.eq(case_when(
                columns::is_deleted,
                row.created_at.into_sql::<BigInt>(),
            )
            .otherwise(columns::created_at)),
            columns::is_deleted.eq(false),
            columns::revision.eq(revision),
        ));
        prepared!(update).write(self.connection)?;
        Ok(revision)
    }

    /// The session's record; `None` where there is none or it is soft-deleted.
    ///
    /// # Errors
    /// `Corrupt` for a row that can't be decoded.
    pub fn get(&mut self, id: &str) -> Result<Option<SessionRecord>, StateStoreError> {
        sessions::table
            .filter(sessions::namespace.eq(self.scope.namespace.as_str()))
            .filter(sessions::id.eq(self.scope.limits.id("session_id", id)?))
            .filter(not(sessions::is_deleted))
            .select(SessionRow::as_select())
            .get_result(self.connection)
            .optional()?
            .map(SessionRow::decode)
            .transpose()
    }

    /// A page of sessions, in the order in which they were first started.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for a bad filter or page.
    pub fn list(
        &mut self,
        filter: &SessionFilter,
        page: &PageRequest,
    ) -> Result<Page<SessionRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let rows = self.load(filter, bounds)?;
        Ok(Page::by_sequence(rows, bounds, |last| last.seq))
    }

    /// How many sessions there are.
    ///
    /// # Errors
    /// `InvalidInput` for a bad filter.
    pub fn count(&mut self, filter: &SessionFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    /// Notes that the session is alive: sets its `updated_at` to now. Gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `InvalidInput` where it is over, and what [`Expected`] says.
    pub fn touch(&mut self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let revision = self.next_if_open(id, expected)?;
        let now = self.scope.clock.now();
        let row = self.row(id);
        // The times are all that moves on.
        let change = sessions::ended_at.eq(sessions::ended_at);
        Ok(change!(
            self.connection,
            now,
            sessions,
            row,
            revision,
            change
        ))
    }

    /// Ends the session now, with a final status; gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `InvalidInput` where it is over or the status isn't final, and what
    /// [`Expected`] says.
    pub fn end(
        &mut self,
        id: &str,
        status: SessionStatus,
        expected: Expected,
    ) -> Result<i64, StateStoreError> {
        if !status.is_final() {
            return Err(StateStoreError::invalid(
                "session status",
                format!("{status} is not an end"),
            ));
        }
        let revision = self.next_if_open(id, expected)?;
        let now = self.scope.clock.now();
        let row = self.row(id);
        let change = (
            sessions::status.eq(status),
            sessions::ended_at.eq(now.seconds),
        );
        Ok(change!(
            self.connection,
            now,
            sessions,
            row,
            revision,
            change
        ))
    }

    /// The next revision of a session that may be changed, and isn't over.
    fn next_if_open(&mut self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = self.scope.limits.id("session_id", id)?;
        let current = self.current(id)?;
        let subject = subject(id);
        let current = subject.may_change(expected, current)?;
        let status = self.get(id)?.map(|record| record.session.status);
        if let Some(status) = status.filter(|status| status.is_final()) {
            return Err(StateStoreError::invalid(
                "session",
                format!("{id:?} is over ({status}): start a new one"),
            ));
        }
        subject.next_revision(current)
    }

    /// Soft-deletes the session: it is kept, but no longer found. Gives the row's new revision.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, and what [`Expected`] says.
    pub fn delete(&mut self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = self.scope.limits.id("session_id", id)?;
        let current = self.current(id)?;
        let subject = subject(id);
        let current = subject.may_change(expected, current)?;
        self.mark(id, subject.next_revision(current)?, true)
    }

    /// Takes a soft-delete back; on a session that isn't deleted it does nothing. Gives the row's revision.
    ///
    /// # Errors
    /// `NotFound` where there never was such a session or it was purged, `Conflict` where [`Expected`] says so.
    pub fn undelete(&mut self, id: &str, expected: Expected) -> Result<i64, StateStoreError> {
        let id = self.scope.limits.id("session_id", id)?;
        let current = self.current(id)?;
        let subject = subject(id);
        let current = subject.may_touch(expected, current)?;
        if !current.is_deleted {
            return Ok(current.revision);
        }
        self.mark(id, subject.next_revision(current)?, false)
    }

    /// Removes the session for good, deleted or not.
    ///
    /// # Errors
    /// `NotFound` where there is no such session, `Conflict` where [`Expected`] says so.
    pub fn purge(&mut self, id: &str, expected: Expected) -> Result<(), StateStoreError> {
        let id = self.scope.limits.id("session_id", id)?;
        let current = self.current(id)?;
        let current = subject(id).may_touch(expected, current)?;
        let namespace = self.scope.namespace.as_str();
        subject(id).raise_floor(self.connection, namespace, current.revision)?;
        let row = sessions::table.filter(self.row(id));
        diesel::delete(row).execute(self.connection)?;
        Ok(())
    }

    fn mark(&mut self, id: &str, revision: i64, is_deleted: bool) -> Result<i64, StateStoreError> {
        let now = self.scope.clock.now();
        let row = self.row(id);
        let change = sessions::is_deleted.eq(is_deleted);
        Ok(change!(
            self.connection,
            now,
            sessions,
            row,
            revision,
            change
        ))
    }

    fn row(&self, id: &str) -> OneRow<'t> {
        let namespace = self.scope.namespace.as_str();
        sessions::namespace
            .eq(namespace)
            .and(sessions::id.eq(id.to_owned()))
    }

    fn current(&mut self, id: &str) -> Result<Option<Current>, StateStoreError> {
        let row = sessions::table
            .filter(self.row(id))
            .select((sessions::revision, sessions::is_deleted))
            .get_result(self.connection)
            .optional()?;
        subject(id).current(row)
    }

    fn load(
        &mut self,
        filter: &SessionFilter,
        bounds: SequenceBounds,
    ) -> Result<Vec<SessionRecord>, StateStoreError> {
        in_sequence!(sessions, self.matching(filter)?, filter.started, bounds)
            .select(SessionRow::as_select())
            .load(self.connection)?
            .into_iter()
            .map(SessionRow::decode)
            .collect()
    }

    fn matching(
        &self,
        filter: &SessionFilter,
    ) -> Result<sessions::BoxedQuery<'static, Sqlite>, StateStoreError> {
        let namespace = self.scope.namespace.as_str().to_owned();
        let mut query = sessions::table
            .filter(sessions::namespace.eq(namespace))
            .into_boxed();
        if !filter.include_deleted {
            query = query.filter(not(sessions::is_deleted));
        }
        if let Some(status) = filter.status {
            query = query.filter(sessions::status.eq(status));
        }
        if let Some(agent_id) = &filter.agent_id {
            let agent_id = self.scope.limits.id("agent_id", agent_id)?.to_owned();
            query = query.filter(sessions::agent_id.eq(agent_id));
        }
        if let Some(from) = filter.started.from {
            query = query.filter(sessions::started_at.ge(from));
        }
        if let Some(until) = filter.started.until {
            query = query.filter(sessions::started_at.lt(until));
        }
        Ok(query)
    }
}

fn subject(id: &str) -> Subject<'_> {
    Subject {
        entity: "session",
        table: "sessions",
        id,
    }
}
