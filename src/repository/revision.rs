//! Compare-and-set: what a row's revision allows, and the floor below which no new row may begin.

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

    /// The revision that a save gives the row: one above the current, or above the floor for a row that is new.
    pub(super) fn saved_revision(
        self,
        connection: &mut Connection,
        namespace: &str,
        current: Option<Current>,
    ) -> Result<i64, StateStoreError> {
        match current {
            Some(current) => self.next_revision(current),
            None => self.above(self.floor(connection, namespace)?),
        }
    }

    /// The revision that a change gives the row.
    pub(super) fn next_revision(self, current: Current) -> Result<i64, StateStoreError> {
        self.above(current.revision)
    }

    fn above(self, last: i64) -> Result<i64, StateStoreError> {
        last.checked_add(1).ok_or_else(|| {
            self.place()
                .corrupt("revision", format!("{last} can't be raised"))
        })
    }

    /// The highest revision of the rows that were purged.
    fn floor(self, connection: &mut Connection, namespace: &str) -> Result<i64, StateStoreError> {
        let floor: Option<i64> = revision_floors::table
            .filter(revision_floors::namespace.eq(namespace))
            .filter(revision_floors::aggregate.eq(self.entity))
            .select(revision_floors::revision)
            .get_result(connection)
            .optional()?;
        Ok(floor.unwrap_or(0))
    }

    /// Notes that rows up to this revision were purged, so that no new row begins at or below it.
    pub(super) fn raise_floor(
        self,
        connection: &mut Connection,
        namespace: &str,
        revision: i64,
    ) -> Result<(), StateStoreError> {
        if self.floor(connection, namespace)? >= revision {
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

/// Changes columns of the one row that the condition picks, and with them what every change moves on; gives the row's
/// new revision.
macro_rules! change {
    ($connection:expr, $now:expr, $table:ident, $row:expr, $revision:expr, $change:expr) => {{
        let (now, revision) = ($now, $revision);
        let update = diesel::update($table::table.filter($row)).set((
            $change,
            $table::updated_at.eq(now.seconds),
            $table::recorded_at.eq(now.micros),
            $table::revision.eq(revision),
        ));
        crate::repository::prepared::prepared!(update).write($connection)?;
        revision
    }};
}
pub(super) use change;
