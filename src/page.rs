//! Keyset pages: a bounded part of a list, and where the next one starts.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{StateStoreError, within};
use crate::numbers::Seq;

/// The direction of a list: by sequence number, or by id for agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Rising sequence numbers, oldest first, as a follower of the log reads them; agents by rising id.
    Ascending,
    /// Falling sequence numbers, newest first; agents by falling id.
    Descending,
}

/// Where a page starts, as the page before it said. Opaque: keep it as text, and hand it back to the same list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Position);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Position {
    Before(i64),
    After(i64),
    BeforeId(String),
    AfterId(String),
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Position::Before(seq) => write!(formatter, "b{seq}"),
            Position::After(seq) => write!(formatter, "a{seq}"),
            Position::BeforeId(id) => {
                write!(formatter, "d{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
            }
            Position::AfterId(id) => {
                write!(formatter, "i{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
            }
        }
    }
}

impl FromStr for Cursor {
    type Err = StateStoreError;

    fn from_str(text: &str) -> Result<Self, StateStoreError> {
        let unknown = || StateStoreError::invalid("cursor", format!("{text:?} is not a cursor"));
        let number = |digits: &str| digits.parse().map_err(|_| unknown());
        let decoded = |id: &str| {
            let id = percent_decode_str(id).decode_utf8();
            id.map(Cow::into_owned).map_err(|_| unknown())
        };
        let position = match text.split_at_checked(1) {
            Some(("b", digits)) => Position::Before(number(digits)?),
            Some(("a", digits)) => Position::After(number(digits)?),
            Some(("d", id)) => Position::BeforeId(decoded(id)?),
            Some(("i", id)) => Position::AfterId(decoded(id)?),
            _ => return Err(unknown()),
        };
        Ok(Self(position))
    }
}

/// Which part of a list is wanted.
///
/// ```
/// use descartes_state::PageRequest;
/// use descartes_state::page::Order;
///
/// let request = PageRequest::new(50).order(Order::Ascending);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    rows: u32,
    after: Option<Cursor>,
    order: Option<Order>,
}

impl Default for PageRequest {
    /// Asks for the first 100 rows.
    fn default() -> Self {
        Self::new(100)
    }
}

impl PageRequest {
    /// Asks for the first `rows` rows: 1 up to the `page_rows` of [`Limits`](crate::Limits) (10,000).
    #[must_use]
    pub fn new(rows: u32) -> Self {
        Self {
            rows,
            after: None,
            order: None,
        }
    }

    /// Starts where another page of the same list ended.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Sets the direction; without it, rows with a sequence number come newest first, and agents by rising id. A cursor
    /// belongs to the direction of the page that returned it.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = Some(order);
        self
    }

    /// Returns how many rows are asked for.
    pub(crate) fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Returns the checked bounds for a list by sequence number.
    pub(crate) fn by_sequence(&self, most: u32) -> Result<SequenceBounds, StateStoreError> {
        let rows = self.checked_rows(most)?;
        let order = self.order.unwrap_or(Order::Descending);
        let after = match (&self.after, order) {
            (None, _) => None,
            (Some(Cursor(Position::Before(seq))), Order::Descending)
            | (Some(Cursor(Position::After(seq))), Order::Ascending) => Some(*seq),
            (Some(_), _) => return Err(foreign_cursor()),
        };
        Ok(SequenceBounds {
            rows,
            after,
            until: None,
            order,
        })
    }

    /// Returns the checked bounds for a list by id.
    pub(crate) fn by_id(&self, most: u32) -> Result<IdBounds, StateStoreError> {
        let rows = self.checked_rows(most)?;
        let order = self.order.unwrap_or(Order::Ascending);
        let after = match (&self.after, order) {
            (None, _) => None,
            (Some(Cursor(Position::BeforeId(id))), Order::Descending)
            | (Some(Cursor(Position::AfterId(id))), Order::Ascending) => Some(id.clone()),
            (Some(_), _) => return Err(foreign_cursor()),
        };
        Ok(IdBounds { rows, after, order })
    }

    fn checked_rows(&self, most: u32) -> Result<usize, StateStoreError> {
        if self.rows == 0 {
            return Err(StateStoreError::invalid("page", "it has no rows"));
        }
        within("page", self.rows as usize, most as usize, "rows")?;
        Ok(self.rows as usize)
    }
}

fn foreign_cursor() -> StateStoreError {
    StateStoreError::invalid("cursor", "it belongs to another list or direction")
}

/// The bounds of a list by sequence number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SequenceBounds {
    pub(crate) rows: usize,
    pub(crate) after: Option<i64>,
    /// The number above which rows may still appear below others: where the page is in rising order, it stops there.
    pub(crate) until: Option<i64>,
    pub(crate) order: Order,
}

impl SequenceBounds {
    /// Asks for the newest rows of an unpaged list.
    pub(crate) fn newest(rows: usize) -> Self {
        Self {
            rows,
            after: None,
            until: None,
            order: Order::Descending,
        }
    }
}

/// The bounds of a list by id.
#[derive(Debug, Clone)]
pub(crate) struct IdBounds {
    pub(crate) rows: usize,
    pub(crate) after: Option<String>,
    pub(crate) order: Order,
}

impl IdBounds {
    /// Asks for the first rows of an unpaged list.
    pub(crate) fn first(rows: usize) -> Self {
        Self {
            rows,
            after: None,
            order: Order::Ascending,
        }
    }
}

/// Returns how many rows to ask for: one more than wanted, to know whether more follow.
pub(crate) fn fetch(rows: usize) -> i64 {
    i64::try_from(rows).map_or(i64::MAX, |rows| rows.saturating_add(1))
}

/// A row that a list leaves out, because a part of it is above [`Limits::state_bytes`](crate::Limits::state_bytes): a store
/// with a higher limit wrote it, and shows it. By its id it is [`TooLarge`](StateStoreError::TooLarge).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OmittedRow {
    /// Its id.
    pub id: String,
    /// What is too large.
    pub field: &'static str,
    /// The size in bytes.
    pub bytes: u64,
    /// The limit in bytes.
    pub limit: u64,
}

impl OmittedRow {
    /// Returns what is omitted for this error; any other error is returned as it is.
    pub(crate) fn of(
        id: impl FnOnce() -> Result<String, StateStoreError>,
        error: StateStoreError,
    ) -> Result<Self, StateStoreError> {
        match error {
            StateStoreError::TooLarge {
                field, size, limit, ..
            } => Ok(Self {
                id: id()?,
                field,
                bytes: size,
                limit,
            }),
            other => Err(other),
        }
    }

    /// Returns what a read of this row by its id says.
    pub(crate) fn into_error(self) -> StateStoreError {
        StateStoreError::TooLarge {
            field: self.field,
            size: self.bytes,
            limit: self.limit,
            unit: "bytes",
        }
    }
}

/// A row of a list, in its place.
#[derive(Debug)]
pub(crate) enum Listed<T> {
    Shown(T),
    Omitted(OmittedRow, Seq),
}

impl<T> From<T> for Listed<T> {
    fn from(row: T) -> Self {
        Self::Shown(row)
    }
}

impl<T> Listed<T> {
    /// Returns the row, for who asked for no other.
    pub(crate) fn shown(self) -> Result<T, StateStoreError> {
        match self {
            Self::Shown(row) => Ok(row),
            Self::Omitted(row, _) => Err(row.into_error()),
        }
    }

    /// Returns the rows that can be shown, where there is no room to say more.
    pub(crate) fn all_shown(rows: Vec<Self>) -> Vec<T> {
        let shown = rows.into_iter().filter_map(|row| match row {
            Self::Shown(row) => Some(row),
            Self::Omitted(
                OmittedRow {
                    id, bytes, limit, ..
                },
                _,
            ) => {
                tracing::warn!(
                    id,
                    bytes,
                    limit,
                    "a list leaves out a row that is too large"
                );
                None
            }
        });
        shown.collect()
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Rows that belong here, and are larger than the store's options allow.
    pub omitted: Vec<OmittedRow>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<Cursor>,
    /// Where this page ends, also on the last: asked for again later, what came meanwhile. On an empty page it is where the
    /// page was asked to start; `None` where that is the beginning.
    pub end: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts the surplus row that `fetch` asked for, and makes the cursors from the last row kept.
    fn cut(
        mut rows: Vec<Listed<T>>,
        wanted: usize,
        start: Option<Position>,
        position: impl FnOnce(&Listed<T>) -> Position,
    ) -> Self {
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        let end = rows.last().map(position).or(start).map(Cursor);
        let next = if more { end.clone() } else { None };
        let mut omitted = Vec::new();
        let shown = rows.into_iter().filter_map(|row| match row {
            Listed::Shown(row) => Some(row),
            Listed::Omitted(row, _) => {
                omitted.push(row);
                None
            }
        });
        // In place: a row isn't smaller than what is shown of it.
        let items = shown.collect();
        Self {
            items,
            omitted,
            next,
            end,
        }
    }

    pub(crate) fn by_sequence(
        rows: Vec<impl Into<Listed<T>>>,
        bounds: SequenceBounds,
        seq: impl FnOnce(&T) -> Seq,
    ) -> Self {
        let position = |seq| match bounds.order {
            Order::Descending => Position::Before(seq),
            Order::Ascending => Position::After(seq),
        };
        let start = bounds.after.map(position);
        let rows = rows.into_iter().map(Into::into).collect();
        Self::cut(rows, bounds.rows, start, |last| match last {
            Listed::Shown(row) => position(seq(row).get()),
            Listed::Omitted(_, seq) => position(seq.get()),
        })
    }

    pub(crate) fn by_id(
        rows: Vec<Listed<T>>,
        bounds: &IdBounds,
        id: impl FnOnce(&T) -> &str,
    ) -> Self {
        let position = |id: String| match bounds.order {
            Order::Descending => Position::BeforeId(id),
            Order::Ascending => Position::AfterId(id),
        };
        let start = bounds.after.clone().map(position);
        Self::cut(rows, bounds.rows, start, |last| match last {
            Listed::Shown(row) => position(id(row).to_owned()),
            Listed::Omitted(row, _) => position(row.id.clone()),
        })
    }
}

/// A half-open range of Unix seconds: from `from`, up to but not including `until`.
///
/// ```
/// use descartes_state::TimeRange;
///
/// let today = TimeRange::default().from(1_763_856_000).until(1_763_942_400);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TimeRange {
    pub(crate) from: Option<i64>,
    pub(crate) until: Option<i64>,
}

impl TimeRange {
    /// Sets the first second that is in the range.
    #[must_use]
    pub fn from(mut self, seconds: i64) -> Self {
        self.from = Some(seconds);
        self
    }

    /// Sets the first second that is no longer in the range.
    #[must_use]
    pub fn until(mut self, seconds: i64) -> Self {
        self.until = Some(seconds);
        self
    }

    /// Returns whether it leaves anything out.
    pub(crate) fn is_limited(self) -> bool {
        self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cursor, Position};

    proptest! {
        #[test]
        fn a_cursor_reads_back_from_its_text(seq in any::<i64>(), id in "\\PC{1,20}") {
            let positions = [
                Position::Before(seq),
                Position::After(seq),
                Position::BeforeId(id.clone()),
                Position::AfterId(id),
            ];
            for position in positions {
                let cursor = Cursor(position);
                prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
            }
        }

        #[test]
        fn any_other_text_is_an_error_never_a_panic(text in "\\PC{0,20}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
