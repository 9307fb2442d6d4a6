//! The rows of a page.

/// The rows of a boxed query's page, in order of sequence, one more than wanted, to know whether there are more. Which index
/// picks them is the planner's choice, a time range or not.
macro_rules! in_sequence {
    ($table:ident, $query:expr, $by_time:expr, $bounds:expr) => {{
        use super::lists::ordered;
        let bounds: crate::page::SequenceBounds = $bounds;
        let _: bool = $by_time;
        ordered!($query, $table::seq, $table::seq, bounds).limit(crate::page::fetch(bounds.rows))
    }};
}
pub(super) use in_sequence;
