//! Rows on their way from store to store: read in their order, and written as they are.

use diesel::prelude::*;

use super::context::TableContext;
use super::dialect::{Connection, Length, byte_length, last_number, raise_number};
use super::limited::limited;
use super::search::insert_copied;
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::models::{
    CopiedAgent, CopiedEvent, CopiedFloor, CopiedKey, CopiedRow, CopiedRows, CopiedSession,
    CopiedSnapshot, CopiedTable, CopiedTask, CopiedTransition,
};
use crate::schema::{
    agent_states, events, revision_floors, sessions, state_snapshots, state_transitions, tasks,
};

/// The most rows of a part, and the bytes above which it has no further row.
const PART_ROWS: i64 = 512;
const PART_BYTES: i64 = 4 * 1024 * 1024;

/// The tables of a store as a copy sees them: rows of every prefix, or of one.
pub(crate) struct CopyTables<'t> {
    connection: &'t mut Connection,
    notes: &'t mut CommitNotes,
}

/// What is alike for the tables with a key of one column.
macro_rules! keyed {
    ($( $Table:ident of $table:ident by $key:ident: $Type:ty as $Key:ident, $Row:ident, large $( $large:ident ),+; )+) => {
        impl CopyTables<'_> {
            /// Returns the next rows above a key, in the order of keys; none where there are no more.
            pub(crate) fn next(
                &mut self,
                table: CopiedTable,
                after: Option<&CopiedKey>,
                prefix: Option<&str>,
            ) -> Result<CopiedRows, StateStoreError> {
                match table {
                    $( CopiedTable::$Table => {
                        let mut keys = $table::table
                            .select(($table::$key, ($( byte_length($table::$large.nullable()), )+)))
                            .into_boxed();
                        let mut rows = $table::table
                            .select(<$Row as CopiedRow>::Stored::as_select())
                            .into_boxed();
                        if let Some(CopiedKey::$Key(after)) = after {
                            keys = keys.filter($table::$key.gt(after));
                            rows = rows.filter($table::$key.gt(after));
                        }
                        if let Some(prefix) = prefix {
                            keys = keys.filter($table::namespace.eq(prefix));
                            rows = rows.filter($table::namespace.eq(prefix));
                        }
                        let keys = limited(keys.order($table::$key), PART_ROWS);
                        let keys: Vec<($Type, ($( keyed!(@length $large), )+))> = keys.load(self.connection)?;
                        let sized = keys.into_iter().map(|(key, ($( $large, )+))| {
                            (key, 0 $( + $large.map_or(0, i64::from) )+)
                        });
                        let Some(last) = last_of_part(sized) else {
                            return Ok(CopiedRows::$Table(Vec::new()));
                        };
                        let rows = rows.filter($table::$key.le(last)).order($table::$key);
                        Ok(CopiedRows::$Table(read(rows.load(self.connection)?)?))
                    } )+
                    CopiedTable::Floors => self.next_floors(after, prefix),
                }
            }

            /// Returns how many rows there are.
            pub(crate) fn count(
                &mut self,
                table: CopiedTable,
                prefix: Option<&str>,
            ) -> Result<i64, StateStoreError> {
                Ok(match table {
                    $( CopiedTable::$Table => count!(self, $table, prefix), )+
                    CopiedTable::Floors => count!(self, revision_floors, prefix),
                })
            }

            /// Inserts rows as they are.
            pub(crate) fn insert(&mut self, rows: &CopiedRows) -> Result<(), StateStoreError> {
                match rows {
                    CopiedRows::Events(rows) => {
                        insert_copied(self.connection, rows)?;
                        self.notes.appended += rows.len();
                    }
                    CopiedRows::Transitions(rows) => insert!(self, state_transitions, rows),
                    CopiedRows::Snapshots(rows) => insert!(self, state_snapshots, rows),
                    CopiedRows::Tasks(rows) => insert!(self, tasks, rows),
                    CopiedRows::Sessions(rows) => insert!(self, sessions, rows),
                    CopiedRows::Agents(rows) => insert!(self, agent_states, rows),
                    CopiedRows::Floors(rows) => insert!(self, revision_floors, rows),
                }
                Ok(())
            }
        }
    };
    (@length $large:ident) => { Option<Length> };
}

macro_rules! count {
    ($self:ident, $table:ident, $prefix:expr) => {{
        let mut rows = $table::table.into_boxed();
        if let Some(prefix) = $prefix {
            rows = rows.filter($table::namespace.eq(prefix));
        }
        rows.count().get_result($self.connection)?
    }};
}

macro_rules! insert {
    ($self:ident, $table:ident, $rows:expr) => {
        diesel::insert_into($table::table)
            .values($rows)
            .execute($self.connection)
            .map(drop)?
    };
}

keyed! {
    Events of events by seq: i64 as Number, CopiedEvent, large content, metadata, search_text;
    Transitions of state_transitions by seq: i64 as Number, CopiedTransition, large state_before, state_after, metadata;
    Snapshots of state_snapshots by seq: i64 as Number, CopiedSnapshot, large state_data, metadata;
    Tasks of tasks by seq: i64 as Number, CopiedTask, large description, metadata;
    Sessions of sessions by seq: i64 as Number, CopiedSession, large metadata;
    Agents of agent_states by key: String as Text, CopiedAgent, large state_data, metadata;
}

impl<'t> CopyTables<'t> {
    pub(crate) fn new(context: TableContext<'t>) -> Self {
        Self {
            connection: context.connection,
            notes: context.notes,
        }
    }

    fn next_floors(
        &mut self,
        after: Option<&CopiedKey>,
        prefix: Option<&str>,
    ) -> Result<CopiedRows, StateStoreError> {
        let mut rows = revision_floors::table
            .select(<CopiedFloor as CopiedRow>::Stored::as_select())
            .into_boxed();
        if let Some(CopiedKey::Pair(namespace, aggregate)) = after {
            let is_later = revision_floors::namespace
                .gt(namespace)
                .or(revision_floors::namespace
                    .eq(namespace)
                    .and(revision_floors::aggregate.gt(aggregate)));
            rows = rows.filter(is_later);
        }
        if let Some(prefix) = prefix {
            rows = rows.filter(revision_floors::namespace.eq(prefix));
        }
        let order = (revision_floors::namespace, revision_floors::aggregate);
        let rows = limited(rows.order(order), PART_ROWS);
        Ok(CopiedRows::Floors(read(rows.load(self.connection)?)?))
    }

    /// Returns the number that a table has given last; 0 for one that has given none, or gives none.
    pub(crate) fn last_number(&mut self, table: CopiedTable) -> Result<i64, StateStoreError> {
        last_number(self.connection, table.name())
    }

    /// Makes a table give only numbers above this one.
    pub(crate) fn raise_number(
        &mut self,
        table: CopiedTable,
        number: i64,
    ) -> Result<(), StateStoreError> {
        if number > last_number(self.connection, table.name())? {
            raise_number(self.connection, table.name(), number)?;
        }
        Ok(())
    }
}

fn read<R: CopiedRow>(rows: Vec<R::Stored>) -> Result<Vec<R>, StateStoreError> {
    rows.into_iter().map(R::read).collect()
}

/// Returns the key of the last row of a part, of rows with their bytes.
fn last_of_part<K>(rows: impl Iterator<Item = (K, i64)>) -> Option<K> {
    let mut bytes = 0;
    let mut last = None;
    for (key, size) in rows {
        if last.is_some() && bytes + size > PART_BYTES {
            break;
        }
        bytes += size;
        last = Some(key);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::{PART_BYTES, last_of_part};

    #[test]
    fn a_part_has_one_row_or_as_many_as_there_is_room_for() {
        let last = |sizes: &[i64]| last_of_part(sizes.iter().copied().enumerate());
        assert_eq!(last(&[]), None);
        assert_eq!(last(&[2 * PART_BYTES, 1]), Some(0));
        assert_eq!(last(&[1, 2 * PART_BYTES]), Some(0));
        assert_eq!(last(&[PART_BYTES - 1, 1, 1]), Some(1));
    }
}
