//! What a transaction leaves for the writer.

/// What the operations of one transaction did, as far as somebody has to act on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitNotes {
    /// How many events were appended: the full-text index doesn't hold them yet.
    pub(crate) appended: usize,
    /// A caller's closure had the connection itself: it may have written any row, and changed settings.
    pub(crate) lent_connection: bool,
    /// The last event when the connection was lent: what is above it was written through the connection.
    pub(crate) last_event_before: Option<i64>,
}
