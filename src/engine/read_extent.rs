//! How much a read reads, and so where it may run.

/// How much one of the store's own reads reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadExtent {
    /// One row by its key.
    Row,
    /// A list of at most so many rows, which an index serves.
    Page(ListKind, usize),
    /// Whatever there is: a count, a search, a list without a bound or within a range of time.
    Many,
}

/// The lists whose rows take about the same time each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    Agents,
    Transitions,
    Snapshots,
    Events,
    Tasks,
    Sessions,
    /// Of the newest events, by their words.
    Searches,
}

impl ListKind {
    /// How many there are.
    pub(super) const COUNT: usize = 7;
}
