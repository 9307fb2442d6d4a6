//! One file an aggregate: synchronous Diesel over one open transaction, scoped to a namespace.
//!
//! A repository knows nothing of tokio, pools or threads. It is made from a [`Transaction`], which carries the
//! namespace, so that neither can be forgotten. Names: the noun is the repository, the verb the method; what takes an
//! [`Expected`] compares and sets in the transaction that is already open, which holds the write lock.

mod agents;
mod dialect;
mod events;
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
pub use transaction::Transaction;
pub(crate) use transaction::{Connection, Pending};
pub use transitions::TransitionRepository;

use crate::error::StateStoreError;

/// A boxed query's rows in order of sequence, one more than wanted, to know whether there are more.
macro_rules! in_sequence {
    ($table:ident, $seq:ident, $query:expr, $bounds:expr) => {{
        let bounds: crate::page::SequenceBounds = $bounds;
        let query = match (bounds.order, bounds.after) {
            (crate::page::Order::NewestFirst, None) => $query.order($table::$seq.desc()),
            (crate::page::Order::NewestFirst, Some(seq)) => $query
                .filter($table::$seq.lt(seq))
                .order($table::$seq.desc()),
            (crate::page::Order::OldestFirst, None) => $query.order($table::$seq.asc()),
            (crate::page::Order::OldestFirst, Some(seq)) => $query
                .filter($table::$seq.gt(seq))
                .order($table::$seq.asc()),
        };
        query.limit(crate::page::fetch(bounds.rows))
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
