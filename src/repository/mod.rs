//! One file an aggregate: synchronous Diesel over one open transaction, scoped to a namespace.
//!
//! A repository knows nothing of tokio, pools or threads. It is made from a [`Transaction`], which carries the
//! namespace, so that neither can be forgotten. Names: the noun is the repository, the verb the method; what takes an
//! [`Expected`] compares and sets in the transaction that is already open, which holds the write lock.

mod agents;
mod dialect;
mod events;
mod prepared;
mod revision;
mod search;
mod sessions;
mod snapshots;
mod tasks;
mod transaction;
mod transitions;

pub use agents::AgentRepository;
pub use events::EventRepository;
pub(crate) use search::index_new_events;
pub use sessions::SessionRepository;
pub use snapshots::SnapshotRepository;
pub use tasks::TaskRepository;
pub(crate) use transaction::Connection;
pub use transaction::Transaction;
pub use transitions::TransitionRepository;

use crate::error::StateStoreError;

/// Cuts a boxed query to a page in order of sequence, one row more than wanted, to know whether there are more. The
/// cursor is compared with `$cursor`.
macro_rules! page_of {
    ($query:expr, $seq:expr, $cursor:expr, $bounds:expr) => {{
        use crate::page::Order;
        let bounds: crate::page::SequenceBounds = $bounds;
        let query = match (bounds.order, bounds.after) {
            (Order::NewestFirst, None) => $query.order($seq.desc()),
            (Order::NewestFirst, Some(seq)) => $query.filter($cursor.lt(seq)).order($seq.desc()),
            (Order::OldestFirst, None) => $query.order($seq.asc()),
            (Order::OldestFirst, Some(seq)) => $query.filter($cursor.gt(seq)).order($seq.asc()),
        };
        crate::repository::dialect::limited(query, crate::page::fetch(bounds.rows))
    }};
}
use page_of;

/// The rows of a boxed query's page, in order of sequence; `$time` is the time range that the query has.
///
/// The page is picked by number first, in an index that holds most of what the filter asks for: what SQLite sorts for a
/// time range is then numbers, not bodies, and it never walks the table by rowid through other namespaces' rows.
macro_rules! in_sequence {
    ($table:ident, $query:expr, $time:expr, $bounds:expr) => {{
        use crate::repository::dialect::{IsAmong, Picked, UnindexedNumber};
        use crate::repository::page_of;
        let bounds: crate::page::SequenceBounds = $bounds;
        let time: crate::page::TimeRange = $time;
        let numbers = $query.select($table::seq);
        let picked = if time.is_limited() {
            // Served by the cursor instead, a page of an old time range would read all that is newer or older.
            let cursor = UnindexedNumber::new($table::seq);
            page_of!(numbers, $table::seq, cursor, bounds)
        } else {
            page_of!(numbers, $table::seq, $table::seq, bounds)
        };
        let rows = $table::table
            .filter(IsAmong::new($table::seq, Picked(picked)))
            .into_boxed();
        match bounds.order {
            crate::page::Order::NewestFirst => rows.order($table::seq.desc()),
            crate::page::Order::OldestFirst => rows.order($table::seq.asc()),
        }
    }};
}
use in_sequence;

/// The rows of an unpaged list, or `TooManyRows` if there are more than allowed.
fn whole_list<T>(
    rows: Vec<T>,
    limit: usize,
    page_form: &'static str,
) -> Result<Vec<T>, StateStoreError> {
    if rows.len() > limit {
        return Err(StateStoreError::TooManyRows {
            limit: limit as u64,
            page_form,
        });
    }
    Ok(rows)
}
