//! The lifecycle of rows with revisions: save, change, delete, undelete, purge. It stands once, for every aggregate that
//! has one.
//!
//! Each operation reads the row as it is, decides, and writes: in one transaction, which holds the write lock.

use diesel::prelude::*;

use super::dialect::Connection;
use crate::condition::{ChangeIf, SaveIf};
use crate::error::StateStoreError;
use crate::models::{Place, StoredFlag, StoredInteger};
use crate::numbers::Revision;
use crate::schema::revision_floors;

/// A row as it is, for a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) revision: Revision,
    pub(super) is_deleted: bool,
}

/// Which row it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// `agent`, `snapshot`, `task` or `session`: also the name of its floor.
    pub(super) entity: &'static str,
    pub(super) table: &'static str,
    pub(super) namespace: &'a str,
    pub(super) id: &'a str,
}

impl<'a> Subject<'a> {
    pub(super) fn place(self) -> Place<'a> {
        Place::new(self.table, self.id)
    }

    /// Checks the columns as they were read.
    pub(super) fn current(
        self,
        row: Option<(StoredInteger, StoredFlag)>,
    ) -> Result<Option<Current>, StateStoreError> {
        let place = self.place();
        row.map(|(revision, is_deleted)| {
            Ok(Current {
                revision: revision.integer(place, "revision")?.into(),
                is_deleted: is_deleted.flag(place, "is_deleted")?,
            })
        })
        .transpose()
    }

    /// Checks whether a save may write over, or in the place of, the current row.
    pub(super) fn may_save(
        self,
        condition: SaveIf,
        current: Option<Current>,
    ) -> Result<(), StateStoreError> {
        match (condition, current) {
            (SaveIf::Any, _) | (SaveIf::Absent, None) => Ok(()),
            (SaveIf::Absent, Some(current)) if current.is_deleted => Ok(()),
            (SaveIf::Absent, Some(current)) => Err(self.conflict(condition, current)),
            (SaveIf::Revision(revision), _) => self
                .may_change(ChangeIf::Revision(revision), current)
                .map(drop),
        }
    }

    /// Checks whether a change may touch the row, which must be there and not deleted.
    pub(super) fn may_change(
        self,
        condition: ChangeIf,
        current: Option<Current>,
    ) -> Result<Current, StateStoreError> {
        match (condition, current) {
            (ChangeIf::Revision(_), Some(current)) if current.is_deleted => {
                Err(StateStoreError::Deleted {
                    entity: self.entity,
                    id: self.id.to_owned(),
                })
            }
            (_, current) => {
                self.may_reach(condition, current.filter(|current| !current.is_deleted))
            }
        }
    }

    /// Checks whether an undelete or a purge may touch the row, which must be there, deleted or not.
    pub(super) fn may_reach(
        self,
        condition: ChangeIf,
        current: Option<Current>,
    ) -> Result<Current, StateStoreError> {
        let current = current.ok_or_else(|| self.not_found())?;
        match condition {
            ChangeIf::Revision(revision) if revision != current.revision => {
                Err(self.conflict(condition.into(), current))
            }
            ChangeIf::Any | ChangeIf::Revision(_) => Ok(current),
        }
    }

    pub(super) fn not_found(self) -> StateStoreError {
        StateStoreError::not_found(self.entity, self.id)
    }

    fn conflict(self, expected: SaveIf, current: Current) -> StateStoreError {
        StateStoreError::Conflict {
            entity: self.entity,
            id: self.id.to_owned(),
            expected,
            actual: current.revision,
        }
    }

    /// Returns the row's revision after a save: one above the current, or above the floor for a row that is new.
    pub(super) fn saved_revision(
        self,
        connection: &mut Connection,
        current: Option<Current>,
    ) -> Result<Revision, StateStoreError> {
        match current {
            Some(current) => self.next_revision(current),
            None => self.above(self.floor(connection)?),
        }
    }

    /// Returns the row's revision after a change.
    pub(super) fn next_revision(self, current: Current) -> Result<Revision, StateStoreError> {
        self.above(current.revision.get())
    }

    fn above(self, last: i64) -> Result<Revision, StateStoreError> {
        last.checked_add(1).map(Revision::from).ok_or_else(|| {
            self.place()
                .corrupt("revision", format!("{last} can't be raised"))
        })
    }

    /// Returns the highest revision of the rows that were purged.
    fn floor(self, connection: &mut Connection) -> Result<i64, StateStoreError> {
        let floor: Option<i64> = revision_floors::table
            .filter(revision_floors::namespace.eq(self.namespace))
            .filter(revision_floors::aggregate.eq(self.entity))
            .select(revision_floors::revision)
            .get_result(connection)
            .optional()?;
        Ok(floor.unwrap_or(0))
    }

    /// Keeps in mind that rows up to this revision were purged, so that no new row begins at or below it.
    pub(super) fn raise_floor(
        self,
        connection: &mut Connection,
        revision: i64,
    ) -> Result<(), StateStoreError> {
        if self.floor(connection)? >= revision {
            return Ok(());
        }
        let raise = diesel::insert_into(revision_floors::table)
            .values((
                revision_floors::namespace.eq(self.namespace),
                revision_floors::aggregate.eq(self.entity),
                revision_floors::revision.eq(revision),
            ))
            .on_conflict((revision_floors::namespace, revision_floors::aggregate))
            .do_update()
            .set(revision_floors::revision.eq(revision));
        // Somebody else may have raised it further meanwhile.
        diesel::query_dsl::methods::FilterDsl::filter(
            raise,
            revision_floors::revision.lt(revision),
        )
        .execute(connection)?;
        Ok(())
    }
}

/// The revision of a new row, as an expression: one above the floor of its aggregate.
macro_rules! first_revision {
    ($namespace:expr, $aggregate:expr) => {{
        use crate::schema::revision_floors;
        super::dialect::coalesce(
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

/// Implements the lifecycle for a table whose rows have a revision and can be soft-deleted.
///
/// `$columns` are what a save writes over; `$extra` is what it writes over besides, made of the row.
macro_rules! revisioned {
    (
        $Table:ident on $table:ident by $key:ident, $entity:literal, $Row:ty:
        [$($column:ident),+] $(, |$row:ident| $extra:expr)?
    ) => {
        impl<'t> $Table<'t> {
            pub(super) fn subject<'a>(&self, id: &'a str) -> Subject<'a>
            where
                't: 'a,
            {
                let scope: &'t Scope = self.scope;
                Subject {
                    entity: $entity,
                    table: stringify!($table),
                    namespace: scope.namespace.as_str(),
                    id,
                }
            }

            pub(super) fn current(&mut self, id: &str) -> Result<Option<Current>, StateStoreError> {
                let row = $table::table
                    .filter($table::namespace.eq(self.scope.namespace.as_str()))
                    .filter($table::$key.eq(id))
                    .select(($table::revision, $table::is_deleted));
                let row = Locked(row).get_result(self.connection).optional()?;
                self.subject(id).current(row)
            }

            /// Writes a row if the stored one is as expected; returns its new revision.
            pub(crate) fn put(
                &mut self,
                row: &$Row,
                condition: SaveIf,
            ) -> Result<Revision, StateStoreError> {
                loop {
                    let current = self.current(&row.$key)?;
                    self.subject(&row.$key).may_save(condition, current)?;
                    if let Some(revision) = self.write(row, current)? {
                        return Ok(revision);
                    }
                }
            }

            /// Writes a row over the current one, or in its place; returns its new revision, or `None` where there was none
            /// to write over, and somebody else was faster.
            pub(super) fn write(
                &mut self,
                row: &$Row,
                current: Option<Current>,
            ) -> Result<Option<Revision>, StateStoreError> {
                let subject = self.subject(&row.$key);
                let revision = subject.saved_revision(self.connection, current)?;
                if current.is_none() {
                    let insert = diesel::insert_into($table::table)
                        .values((row, $table::revision.eq(revision.get())));
                    if !inserted_as_new!(self.connection, $table, insert) {
                        return Ok(None);
                    }
                    return self.above_floor(&row.$key, revision).map(Some);
                }
                // Not an upsert: that would check and build the row twice.
                let stored = $table::table
                    .filter($table::namespace.eq(&row.namespace))
                    .filter($table::$key.eq(&row.$key));
                let update = diesel::update(stored).set((
                    $( $table::$column.eq(&row.$column), )+
                    $( { let $row = row; $extra }, )?
                    $table::updated_at.eq(row.updated_at),
                    $table::recorded_at.eq(row.recorded_at),
                    // An update keeps the stored time; a deleted row begins again.
                    $table::created_at.eq(case_when(
                        $table::is_deleted,
                        row.created_at.into_sql::<BigInt>(),
                    )
                    .otherwise($table::created_at)),
                    $table::is_deleted.eq(false),
                    $table::revision.eq(revision.get()),
                ));
                prepared!(update).write(self.connection)?;
                Ok(Some(revision))
            }

            /// Returns the revision of a row that was just inserted. Where others write meanwhile, the row's forerunner may have
            /// been purged since the floor was read; then it is raised.
            pub(super) fn above_floor(
                &mut self,
                id: &str,
                revision: Revision,
            ) -> Result<Revision, StateStoreError> {
                if !super::dialect::OTHERS_WRITE {
                    return Ok(revision);
                }
                let raised = self.subject(id).saved_revision(self.connection, None)?;
                if raised <= revision {
                    return Ok(revision);
                }
                let row = $table::table
                    .filter($table::namespace.eq(self.scope.namespace.as_str()))
                    .filter($table::$key.eq(id));
                diesel::update(row)
                    .set($table::revision.eq(raised.get()))
                    .execute(self.connection)?;
                Ok(raised)
            }

            /// Soft-deletes the row; returns its new revision.
            pub(crate) fn delete(
                &mut self,
                id: &str,
                condition: ChangeIf,
            ) -> Result<Revision, StateStoreError> {
                let current = self.current(id)?;
                let current = self.subject(id).may_change(condition, current)?;
                self.mark(id, current, true)
            }

            /// Takes a soft-delete back; returns the row's revision.
            pub(crate) fn undelete(
                &mut self,
                id: &str,
                condition: ChangeIf,
            ) -> Result<Revision, StateStoreError> {
                let current = self.current(id)?;
                let current = self.subject(id).may_reach(condition, current)?;
                if !current.is_deleted {
                    return Ok(current.revision);
                }
                self.mark(id, current, false)
            }

            fn mark(
                &mut self,
                id: &str,
                current: Current,
                is_deleted: bool,
            ) -> Result<Revision, StateStoreError> {
                let now = self.scope.clock.now();
                let change = $table::is_deleted.eq(is_deleted);
                change!(self, $table by $key, id, current, now, change)
            }

            /// Removes the row for good.
            fn remove(&mut self, id: &str, condition: ChangeIf) -> Result<(), StateStoreError> {
                let current = self.current(id)?;
                let subject = self.subject(id);
                let current = subject.may_reach(condition, current)?;
                subject.raise_floor(self.connection, current.revision.get())?;
                let row = $table::table
                    .filter($table::namespace.eq(self.scope.namespace.as_str()))
                    .filter($table::$key.eq(id));
                diesel::delete(row).execute(self.connection)?;
                Ok(())
            }
        }
    };
}
pub(super) use revisioned;

/// Changes columns of one row, and with them what every change moves on; returns the row's new revision.
macro_rules! change {
    ($self:ident, $table:ident by $key:ident, $id:expr, $current:expr, $now:expr, $change:expr) => {{
        let (id, now, change): (&str, _, _) = ($id, $now, $change);
        let revision = $self.subject(id).next_revision($current)?;
        let row = $table::table
            .filter($table::namespace.eq($self.scope.namespace.as_str()))
            .filter($table::$key.eq(id));
        let update = diesel::update(row).set((
            change,
            $table::updated_at.eq(now.seconds),
            $table::recorded_at.eq(now.micros),
            $table::revision.eq(revision.get()),
        ));
        prepared!(update).write($self.connection)?;
        Ok(revision)
    }};
}
pub(super) use change;

/// Removes the rows that the condition picks for good, and keeps the highest of their revisions in mind; returns how many.
macro_rules! remove_rows {
    ($self:ident, $table:ident, $entity:literal, $condition:expr) => {{
        let namespace = $self.scope.namespace.as_str();
        let picked = $table::table
            .filter($table::namespace.eq(namespace))
            .filter($condition);
        let (removed, highest) = super::writes::removed!($self.connection, $table, picked);
        if let Some(highest) = highest {
            let subject = Subject {
                entity: $entity,
                table: stringify!($table),
                namespace,
                id: "",
            };
            subject.raise_floor($self.connection, highest)?;
        }
        removed
    }};
}
pub(super) use remove_rows;
