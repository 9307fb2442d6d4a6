//! What a transaction leaves for those who act before its commit.

/// What the operations of one transaction did, as far as somebody has to act on it before the commit.
///
/// The repositories fill it in, the writer hands it to its commit observers.
#[derive(Debug, Default)]
pub(crate) struct CommitNotes {
    /// Events were appended that the full-text index doesn't hold yet.
    pub(crate) appended_events: bool,
    /// A caller's closure had the connection itself: it may have written any row, and changed settings.
    pub(crate) lent_connection: bool,
}
