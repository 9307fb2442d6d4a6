//! Pages and lists in order of sequence.

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::query_dsl::methods::LoadQuery;

use super::dialect::Connection;
use crate::error::StateStoreError;
use crate::models::StoredRow;
use crate::read_budget::ReadBudget;

/// Cuts a boxed query to what a page in order of sequence may hold, in its order. The cursor is compared with `$cursor`.
macro_rules! ordered {
    ($query:expr, $seq:expr, $cursor:expr, $bounds:expr) => {{
        use crate::page::Order;
        let bounds: crate::page::SequenceBounds = $bounds;
        let query = match bounds.until {
            Some(last) if bounds.order == Order::Ascending => $query.filter($cursor.le(last)),
            _ => $query,
        };
        match (bounds.order, bounds.after) {
            (Order::Descending, None) => query.order($seq.desc()),
            (Order::Descending, Some(seq)) => query.filter($cursor.lt(seq)).order($seq.desc()),
            (Order::Ascending, None) => query.order($seq.asc()),
            (Order::Ascending, Some(seq)) => query.filter($cursor.gt(seq)).order($seq.asc()),
        }
    }};
}
pub(super) use ordered;

/// Cuts a boxed query to a time range; `$by_time` is whether it is to pick the index.
macro_rules! within {
    ($query:expr, $column:expr, $time:expr, $by_time:expr) => {{
        use super::dialect::UnindexedNumber;
        let time: crate::page::TimeRange = $time;
        let (mut query, by_time) = ($query, $by_time);
        if let Some(from) = time.from {
            query = match by_time {
                true => query.filter($column.ge(from)),
                false => query.filter(UnindexedNumber::new($column).ge(from)),
            };
        }
        if let Some(until) = time.until {
            query = match by_time {
                true => query.filter($column.lt(until)),
                false => query.filter(UnindexedNumber::new($column).lt(until)),
            };
        }
        query
    }};
}
pub(super) use within;

/// The rows that a list makes room for before it has read any.
const FIRST_ROOM: usize = 128;

/// Runs a query, and decodes its rows as they come; `most` is how many are asked for.
pub(super) fn decoded<'q, Q, R, T>(
    query: Q,
    most: usize,
    connection: &mut Connection,
    budget: Option<&ReadBudget>,
    mut decode: impl FnMut(R) -> Result<T, StateStoreError>,
) -> Result<Vec<T>, StateStoreError>
where
    Q: RunQueryDsl<Connection> + LoadQuery<'q, Connection, R, DefaultLoadingMode> + 'q,
    R: StoredRow,
{
    let mut rows = Vec::with_capacity(most.saturating_add(1).min(FIRST_ROOM));
    for row in query.load_iter::<R, DefaultLoadingMode>(connection)? {
        let row = row?;
        if let Some(budget) = budget {
            budget.spend(row.bytes())?;
        }
        rows.push(decode(row)?);
    }
    Ok(rows)
}

/// Runs a query for one row.
pub(super) fn decoded_one<'q, Q, R, T>(
    query: Q,
    connection: &mut Connection,
    budget: Option<&ReadBudget>,
    decode: impl FnOnce(R) -> Result<T, StateStoreError>,
) -> Result<Option<T>, StateStoreError>
where
    Q: RunQueryDsl<Connection> + LoadQuery<'q, Connection, R> + 'q,
    R: StoredRow,
{
    let Some(row) = query.get_result::<R>(connection).optional()? else {
        return Ok(None);
    };
    if let Some(budget) = budget {
        budget.spend(row.bytes())?;
    }
    decode(row).map(Some)
}

/// Returns the rows of an unpaged list.
///
/// # Errors
/// `TooManyRows` if there are more than allowed.
pub(super) fn whole_list<T>(
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
