//! The rows of a page: picked by their numbers.

/// The rows of a boxed query's page, in order of sequence, one more than wanted, to know whether there are more; `$by_time` is
/// whether a time range is to pick the index.
///
/// The page is picked by number first, in an index that holds most of what the filter asks for: what SQLite sorts for a
/// time range is then numbers, not bodies, and it never walks the table by rowid through other namespaces' rows.
macro_rules! in_sequence {
    ($table:ident, $query:expr, $by_time:expr, $bounds:expr) => {{
        use super::dialect::UnindexedNumber;
        use super::limited::limited;
        use super::lists::ordered;
        use super::picked::{IsAmong, Picked};
        let bounds: crate::page::SequenceBounds = $bounds;
        let numbers = $query.select($table::seq);
        let numbers = if $by_time {
            // Served by the cursor instead, a page of an old time range would read all that is newer or older.
            let cursor = UnindexedNumber::new($table::seq);
            ordered!(numbers, $table::seq, cursor, bounds)
        } else {
            ordered!(numbers, $table::seq, $table::seq, bounds)
        };
        let picked = Picked(limited(numbers, crate::page::fetch(bounds.rows)));
        let rows = $table::table
            .filter(IsAmong::new($table::seq, picked))
            .into_boxed();
        match bounds.order {
            crate::page::Order::Descending => rows.order($table::seq.desc()),
            crate::page::Order::Ascending => rows.order($table::seq.asc()),
        }
    }};
}
pub(super) use in_sequence;
