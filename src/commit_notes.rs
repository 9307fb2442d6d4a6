//! What a transaction leaves for those who act before its commit.

/// What the operations of one transaction did, as far as somebody has to act on it before the commit.
///
/// The repositories fill it in, the writer hands it to its commit observers.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitNotes {
    /// Events were appended that the full-text index doesn't hold yet.
    pub(crate) appended_events: bool,
    /// A caller's closure had the connection itself: it may have written any row, and changed settings.
    pub(crate) lent_connection: bool,
    /// The last event when the connection was lent: what is above it was written through the connection.
    pub(crate) last_event_before: Option<i64>,
}

impl CommitNotes {
    /// Adds what another operation of the same transaction did.
    pub(crate) fn add(&mut self, other: &Self) {
        self.appended_events |= other.appended_events;
        self.lent_connection |= other.lent_connection;
        self.last_event_before = self.last_event_before.or(other.last_event_before);
    }
}
