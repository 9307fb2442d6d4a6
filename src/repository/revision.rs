//! Compare-and-set: what a row's revision allows, and the floor below which no new row may begin.

use diesel::dsl::max;
use diesel::prelude::*;

use super::Connection;
use crate::error::StateStoreError;
use crate::expected::Expected;
use crate::models::{Place, StoredFlag, StoredInteger};
use crate::schema::revision_floors;

/// A row as it is, for a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) revision: i64,
    pub(super) is_deleted: bool,
}

/// Which row, for the error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// `agent`, `snapshot`, `task` or `session`: also the name of its floor.
    pub(super) entity: &'static str,
    pub(super) table: &'static str,
    pub(super) id: &'a str,
}

impl<'a> Subject<'a> {
    fn place(self) -> Place<'a> {
        Place {
            table: self.table,
            key: self.id,
        }
    }

    /// The columns as they were read, checked.
    pub(super) fn current(
        self,
        row: Option<(StoredInteger, StoredFlag)>,
    ) -> Result<Option<Current>, StateStoreError> {
        let place = self.place();
        row.map(|(revision, is_deleted)| {
            Ok(Current {
                revision: revision.integer(place, "revision")?,
                is_deleted: is_deleted.flag(place, "is_deleted")?,
            })
        })
        .transpose()
    }

    /// The same, of a table whose rows are never soft-deleted.
    pub(super) fn undeletable(
        self,
        revision: Option<StoredInteger>,
    ) -> Result<Option<Current>, StateStoreError> {
        let place = self.place();
        revision
            .map(|revision| {
                Ok(Current {
                    revision: revision.integer(place, "revision")?,
                    is_deleted: false,
                })
            })
            .transpose()
    }

    /// Whether a save may write over, or in the place of, the current row.
    pub(super) fn may_save(
        self,
        expected: Expected,
        current: Option<Current>,
    ) -> Result<(), StateStoreError> {
        match (expected, current) {
            (Expected::Any, _) | (Expected::Absent, None) => Ok(()),
            (Expected::Absent, Some(current)) if current.is_deleted => Ok(()),
            (Expected::Absent, Some(current)) => Err(self.conflict(expected, current)),
            (Expected::Revision(_), _) => self.may_change(expected, current).map(drop),
        }
    }

    /// Whether a change may touch the row, which must be there and not deleted.
    pub(super) fn may_change(
        self,
        expected: Expected,
        current: Option<Current>,
    ) -> Result<Current, StateStoreError> {
        match (expected, current) {
            (Expected::Revision(_), Some(current)) if current.is_deleted => {
                Err(StateStoreError::Deleted {
                    entity: self.entity,
                    id: self.id.to_owned(),
                })
            }
            (_, current) => self.may_touch(expected, current.filter(|row| !row.is_deleted)),
        }
    }

    /// Whether an undelete or a purge may touch the row, which must be there, deleted or not.
    pub(super) fn may_touch(
        self,
        expected: Expected,
        current: Option<Current>,
    ) -> Result<Current, StateStoreError> {
        let current = current.ok_or_else(|| StateStoreError::not_found(self.entity, self.id))?;
        match expected {
            Expected::Any => Ok(current),
            Expected::Revision(revision) if revision == current.revision => Ok(current),
            Expected::Absent if current.is_deleted => Ok(current),
            Expected::Absent | Expected::Revision(_) => Err(self.conflict(expected, current)),
        }
    }

    fn conflict(self, expected: Expected, current: Current) -> StateStoreError {
        StateStoreError::Conflict {
            entity: self.entity,
            id: self.id.to_owned(),
            expected,
            actual: current.revision,
        }
    }

    /// Notes that rows up to this revision were purged, so that no new row begins at or below it.
    pub(super) fn raise_floor(
        self,
        connection: &mut Connection,
        namespace: &str,
        revision: i64,
    ) -> Result<(), StateStoreError> {
        let floor: Option<i64> = revision_floors::table
            .filter(revision_floors::namespace.eq(namespace))
            .filter(revision_floors::aggregate.eq(self.entity))
            .select(max(revision_floors::revision))
            .get_result(connection)?;
        if floor.is_some_and(|floor| floor >= revision) {
            return Ok(());
        }
        diesel::insert_into(revision_floors::table)
            .values((
                revision_floors::namespace.eq(namespace),
                revision_floors::aggregate.eq(self.entity),
                revision_floors::revision.eq(revision),
            ))
            .on_conflict((revision_floors::namespace, revision_floors::aggregate))
            .do_update()
            .set(revision_floors::revision.eq(revision))
            .execute(connection)?;
        Ok(())
    }
}

/// The revision of a new row, as an expression: one above the floor of its aggregate.
macro_rules! first_revision {
    ($namespace:expr, $aggregate:expr) => {{
        use crate::schema::revision_floors;
        crate::repository::dialect::coalesce(
            revision_floors::table
                .filter(revision_floors::namespace.eq($namespace))
                .filter(revision_floors::aggregate.eq($aggregate))
                .select(revision_floors::revision)
                .single_value(),
            0,
        ) + 1
    }};
}
pub(super) use first_revision;
