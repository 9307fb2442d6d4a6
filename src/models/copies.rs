//! Rows as they are stored, on their way to another store: every column, nothing decoded that need not be.

use diesel::prelude::*;
use sha2::Sha256;

use super::body::{Body, STATE_AFTER, STATE_BEFORE, STATE_DATA, StoredBody};
use super::copied_column::{Column, digest_body, read_body};
use super::stored::{Place, StoredInteger, UNREADABLE};
use crate::error::StateStoreError;
use crate::schema::{
    agent_states, events, revision_floors, sessions, state_snapshots, state_transitions, tasks,
};

/// What names a row, in its table's order: by bytes where it is text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CopiedKey {
    Number(i64),
    Text(String),
    Pair(String, String),
}

impl CopiedKey {
    fn shown(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Pair(first, second) => format!("{first}, {second}"),
        }
    }
}

impl From<i64> for CopiedKey {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for CopiedKey {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<(String, String)> for CopiedKey {
    fn from((first, second): (String, String)) -> Self {
        Self::Pair(first, second)
    }
}

/// A row of a table that is copied.
pub(crate) trait CopiedRow: Sized {
    /// The row as it is read.
    type Stored;

    const TABLE: &'static str;

    fn read(stored: Self::Stored) -> Result<Self, StateStoreError>;
    fn key(&self) -> CopiedKey;
    fn digest(&self, hash: &mut Sha256);
    fn bytes(&self) -> usize;

    /// Shows each text with the name of its column.
    fn texts(&mut self, show: &mut dyn FnMut(&'static str, &mut String));
}

/// The rows of a table, each with the columns of its key first, then the others, then its state bodies.
macro_rules! copied {
    ($( $Row:ident, $Stored:ident of $table:ident by ($( $key:ident: $key_type:ty ),+) {
        $( $column:ident: $type:ty, )+
    } bodies {
        $( $body:ident, $codec:ident: $columns:ident; )*
    } )+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Insertable)]
        #[diesel(table_name = $table, treat_none_as_default_value = false)]
        pub(crate) struct $Row {
            $( pub(crate) $key: $key_type, )+
            $( pub(crate) $column: $type, )+
            $( pub(crate) $body: Body, pub(crate) $codec: i64, )*
        }

        #[derive(Debug, Queryable, Selectable)]
        #[diesel(table_name = $table)]
        pub(crate) struct $Stored {
            $( $key: <$key_type as Column>::Stored, )+
            $( $column: <$type as Column>::Stored, )+
            $( $body: StoredBody, $codec: StoredInteger, )*
        }

        impl CopiedRow for $Row {
            type Stored = $Stored;

            const TABLE: &'static str = stringify!($table);

            fn read(stored: $Stored) -> Result<Self, StateStoreError> {
                let unknown = Place::new(Self::TABLE, UNREADABLE);
                $( let $key = <$key_type as Column>::read(stored.$key, unknown, stringify!($key))?; )+
                let name = [$( $key.to_string() ),+].join(", ");
                let place = Place::new(Self::TABLE, &name);
                Ok(Self {
                    $( $column: <$type as Column>::read(stored.$column, place, stringify!($column))?, )+
                    $( $body: read_body(stored.$body, stored.$codec, place, $columns)?, )*
                    $( $codec: stored.$codec.integer(place, stringify!($codec))?, )*
                    $( $key, )+
                })
            }

            #[allow(clippy::clone_on_copy)] // A number, or a text.
            fn key(&self) -> CopiedKey {
                CopiedKey::from(($( self.$key.clone() ),+))
            }

            fn digest(&self, hash: &mut Sha256) {
                $( self.$key.digest(hash); )+
                $( self.$column.digest(hash); )+
                $( digest_body(&self.$body, hash); self.$codec.digest(hash); )*
            }

            fn bytes(&self) -> usize {
                size_of::<Self>() $( + self.$column.bytes() )+ $( + self.$body.0.len() )*
            }

            fn texts(&mut self, show: &mut dyn FnMut(&'static str, &mut String)) {
                $( if let Some(text) = self.$column.text() { show(stringify!($column), text); } )+
            }
        }
    )+};
}

copied! {
    CopiedEvent, StoredEvent of events by (seq: i64) {
        namespace: String,
        id: String,
        event_type: String,
        timestamp: i64,
        session_id: String,
        actor_type: String,
        actor_id: String,
        content: String,
        metadata: Option<String>,
        git_commit: Option<String>,
        created_at: i64,
        recorded_at: i64,
        search_text: Option<String>,
    } bodies {}
    CopiedTransition, StoredTransition of state_transitions by (seq: i64) {
        namespace: String,
        id: String,
        agent_id: String,
        reason: Option<String>,
        timestamp: i64,
        metadata: Option<String>,
        recorded_at: i64,
    } bodies {
        state_before, state_before_codec: STATE_BEFORE;
        state_after, state_after_codec: STATE_AFTER;
    }
    CopiedSnapshot, StoredSnapshot of state_snapshots by (seq: i64) {
        namespace: String,
        id: String,
        agent_id: String,
        name: String,
        status: String,
        metadata: String,
        version: i64,
        description: Option<String>,
        created_at: i64,
        expires_at: Option<i64>,
        revision: i64,
        recorded_at: i64,
    } bodies {
        state_data, state_data_codec: STATE_DATA;
    }
    CopiedTask, StoredTask of tasks by (seq: i64) {
        namespace: String,
        id: String,
        title: String,
        description: Option<String>,
        status: String,
        assigned_to: Option<String>,
        created_at: i64,
        updated_at: i64,
        metadata: Option<String>,
        is_deleted: bool,
        revision: i64,
        recorded_at: i64,
    } bodies {}
    CopiedSession, StoredSession of sessions by (seq: i64) {
        namespace: String,
        id: String,
        agent_id: String,
        started_at: i64,
        ended_at: Option<i64>,
        status: String,
        metadata: Option<String>,
        created_at: i64,
        updated_at: i64,
        is_deleted: bool,
        revision: i64,
        recorded_at: i64,
    } bodies {}
    CopiedAgent, StoredAgent of agent_states by (key: String) {
        namespace: String,
        agent_id: String,
        name: String,
        status: String,
        metadata: String,
        version: i64,
        created_at: i64,
        updated_at: i64,
        is_deleted: bool,
        revision: i64,
        recorded_at: i64,
    } bodies {
        state_data, state_data_codec: STATE_DATA;
    }
    CopiedFloor, StoredFloor of revision_floors by (namespace: String, aggregate: String) {
        revision: i64,
    } bodies {}
}

/// Rows of one of the tables.
macro_rules! tables {
    ($( $(#[$doc:meta])* $Table:ident($Row:ident), )+) => {
        /// A table that is copied.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum CopiedTable {
            $( $(#[$doc])* $Table, )+
        }

        impl CopiedTable {
            pub(crate) const ALL: &'static [Self] = &[$( Self::$Table, )+];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $( Self::$Table => $Row::TABLE, )+
                }
            }
        }

        #[derive(Debug)]
        pub(crate) enum CopiedRows {
            $( $Table(Vec<$Row>), )+
        }

        impl CopiedRows {
            pub(crate) fn len(&self) -> usize {
                match self {
                    $( Self::$Table(rows) => rows.len(), )+
                }
            }

            pub(crate) fn bytes(&self) -> usize {
                match self {
                    $( Self::$Table(rows) => rows.iter().map(CopiedRow::bytes).sum(), )+
                }
            }

            pub(crate) fn last_key(&self) -> Option<CopiedKey> {
                match self {
                    $( Self::$Table(rows) => rows.last().map(CopiedRow::key), )+
                }
            }

            /// Takes those off the beginning whose key isn't above this one.
            pub(crate) fn take_until(&mut self, last: &CopiedKey) -> Self {
                match self {
                    $( Self::$Table(rows) => {
                        let rest = rows.split_off(rows.partition_point(|row| row.key() <= *last));
                        Self::$Table(std::mem::replace(rows, rest))
                    } )+
                }
            }

            pub(crate) fn digest(&self, hash: &mut Sha256) {
                match self {
                    $( Self::$Table(rows) => rows.iter().for_each(|row| row.digest(hash)), )+
                }
            }

            /// Makes the texts such that a database without NUL characters can keep them; returns how many were changed.
            ///
            /// # Errors
            /// `InvalidInput` that names the row, where a text other than the search's has such a character, unless it is to be
            /// replaced.
            pub(crate) fn drop_nul(&mut self, is_replaced: bool) -> Result<u64, StateStoreError> {
                if let Self::Events(rows) = self {
                    rows.iter_mut().for_each(CopiedEvent::keep_words);
                }
                match self {
                    $( Self::$Table(rows) => drop_nul(rows, is_replaced), )+
                }
            }
        }
    };
}

// What only grows comes first: a copy that is taken up again finds it as it was.
tables! {
    Events(CopiedEvent),
    Transitions(CopiedTransition),
    Snapshots(CopiedSnapshot),
    Tasks(CopiedTask),
    Sessions(CopiedSession),
    Agents(CopiedAgent),
    Floors(CopiedFloor),
}

fn drop_nul<R: CopiedRow>(rows: &mut [R], is_replaced: bool) -> Result<u64, StateStoreError> {
    let mut changed = 0;
    for row in rows {
        let mut found = None;
        row.texts(&mut |column, text| {
            if !text.contains('\0') {
                return;
            }
            if column == SEARCH_TEXT {
                // It parts words.
                *text = text.replace('\0', " ");
            } else if is_replaced {
                *text = text.replace('\0', "\u{fffd}");
                changed += 1;
            } else {
                found = Some(column);
            }
        });
        if let Some(column) = found {
            let reason = format!(
                "row {} of {} has a NUL character in it, which the target can't keep: let it be replaced",
                row.key().shown(),
                R::TABLE
            );
            return Err(StateStoreError::invalid(column, reason));
        }
    }
    Ok(changed)
}

impl CopiedEvent {
    /// Keeps the words apart that a NUL character in the content has parted: what takes its place may be none that does.
    fn keep_words(&mut self) {
        if self.search_text.is_none() && self.content.contains('\0') {
            self.search_text = Some(self.content.clone());
        }
    }
}

/// The column of the words that the store has prepared.
const SEARCH_TEXT: &str = "search_text";
