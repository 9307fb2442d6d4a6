//! Sessions.

use diesel::dsl::{case_when, not};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::context::TableContext;
use super::dialect::{Connection, Db, Locked, coalesce, settled};
use super::lists::{decoded, decoded_one};
use super::pages::in_sequence;
use super::prepared::prepared;
use super::revisioned::{Current, Subject, change, revisioned};
use super::writes::inserted_as_new;
use crate::commit_notes::CommitNotes;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{
    NewSession, Scope, SessionFilter, SessionRecord, SessionRow, SessionStatus, StoredEnum,
    StoredFlag, StoredInteger,
};
use crate::numbers::Revision;
use crate::page::{Page, PageRequest};
use crate::read_budget::ReadBudget;
use crate::schema::sessions;

pub(crate) struct SessionTable<'t> {
    connection: &'t mut Connection,
    scope: &'t Scope,
    notes: &'t CommitNotes,
    budget: Option<&'t ReadBudget>,
}

revisioned! {
    SessionTable on sessions by id, "session", NewSession:
    [agent_id, ended_at, status, metadata],
    // Without a start of the caller's, a session that goes on keeps the stored one.
    |row| sessions::started_at.eq(case_when(
        sessions::is_deleted,
        row.started_at.into_sql::<BigInt>(),
    )
    .otherwise(coalesce(
        row.given_start.into_sql::<Nullable<BigInt>>(),
        sessions::started_at,
    )))
}

impl<'t> SessionTable<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            scope: context.scope,
            notes: context.notes,
            budget: context.budget,
        }
    }

    pub(crate) fn get(&mut self, id: &str) -> Result<Option<SessionRecord>, StateStoreError> {
        let query = sessions::table
            .filter(sessions::namespace.eq(self.scope.namespace.as_str()))
            .filter(sessions::id.eq(id))
            .select(SessionRow::as_select());
        let found = decoded_one(query, self.connection, self.budget, |row| {
            SessionRow::decode(row, self.scope)
        })?;
        Ok(found.filter(|record| !record.is_deleted))
    }

    pub(crate) fn list(
        &mut self,
        filter: &SessionFilter,
        page: &PageRequest,
    ) -> Result<Page<SessionRecord>, StateStoreError> {
        let bounds = page.by_sequence(self.scope.limits.page_rows)?;
        let bounds = settled(self.connection, self.notes, "sessions", bounds)?;
        let by_time = filter.started.is_limited();
        let query = in_sequence!(sessions, self.matching(filter)?, by_time, bounds);
        let query = query.select(SessionRow::as_select());
        let rows = decoded(query, bounds.rows, self.connection, self.budget, |row| {
            SessionRow::decode(row, self.scope)
        })?;
        Ok(Page::by_sequence(rows, bounds, |last: &SessionRecord| {
            last.seq
        }))
    }

    pub(crate) fn count(&mut self, filter: &SessionFilter) -> Result<i64, StateStoreError> {
        Ok(self.matching(filter)?.count().get_result(self.connection)?)
    }

    /// Returns the revision of a session, deleted or not.
    pub(super) fn revision(&mut self, id: &str) -> Result<Option<Revision>, StateStoreError> {
        Ok(self.current(id)?.map(|current| current.revision))
    }

    pub(crate) fn touch(
        &mut self,
        id: &str,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        let current = self.open_session(id, condition)?;
        let now = self.scope.clock.now();
        // The times are all that moves on.
        let change = sessions::ended_at.eq(sessions::ended_at);
        change!(self, sessions by id, id, current, now, change)
    }

    pub(crate) fn end(
        &mut self,
        id: &str,
        status: SessionStatus,
        condition: ChangeIf,
    ) -> Result<Revision, StateStoreError> {
        let current = self.open_session(id, condition)?;
        let now = self.scope.clock.now();
        let change = (
            sessions::status.eq(status),
            sessions::ended_at.eq(now.seconds),
        );
        change!(self, sessions by id, id, current, now, change)
    }

    /// Reads a session that may be changed, and isn't over.
    fn open_session(&mut self, id: &str, condition: ChangeIf) -> Result<Current, StateStoreError> {
        type Columns = (StoredInteger, StoredFlag, StoredEnum<SessionStatus>);
        let row = sessions::table
            .filter(sessions::namespace.eq(self.scope.namespace.as_str()))
            .filter(sessions::id.eq(id))
            .select((sessions::revision, sessions::is_deleted, sessions::status));
        let row: Option<Columns> = Locked(row).get_result(self.connection).optional()?;
        let (row, status) = match row {
            Some((revision, is_deleted, status)) => (Some((revision, is_deleted)), Some(status)),
            None => (None, None),
        };
        let subject = self.subject(id);
        let current = subject.current(row)?;
        let current = subject.may_change(condition, current)?;
        let status: Option<SessionStatus> = status
            .map(|status| status.parse(subject.place(), "status"))
            .transpose()?;
        match status {
            Some(status) if status.is_final() => Err(StateStoreError::InvalidState {
                entity: "session",
                id: id.to_owned(),
                state: status.as_str(),
                reason: "it is over, so it can be neither touched nor ended: start a new one",
            }),
            _ => Ok(current),
        }
    }

    pub(crate) fn purge(&mut self, id: &str, condition: ChangeIf) -> Result<(), StateStoreError> {
        self.remove(id, condition)
    }

    fn matching(
        &self,
        filter: &SessionFilter,
    ) -> Result<sessions::BoxedQuery<'static, Db>, StateStoreError> {
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
