//! What a transaction leaves for those who act before its commit.

/// What the operations of one transaction did, as far as somebody has to act on it.
///
/// The repositories fill it in, the writer hands it to its commit observers.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitNotes {
    /// Events that the full-text index doesn't hold yet.
    pub(crate) appended: Appended,
    /// A caller's closure had the connection itself: it may have written any row, and changed settings.
    pub(crate) lent_connection: bool,
    /// The last event when the connection was lent: what is above it was written through the connection.
    pub(crate) last_event_before: Option<i64>,
}

impl CommitNotes {
    /// Adds what another operation of the same transaction did.
    pub(crate) fn add(&mut self, other: &Self) {
        self.appended = self.appended.plus(other.appended);
        self.lent_connection |= other.lent_connection;
        self.last_event_before = self.last_event_before.or(other.last_event_before);
    }
}

/// How many events were appended, and how large they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Appended {
    /// Adds an event of this size.
    pub(crate) fn add(&mut self, bytes: usize) {
        *self = self.plus(Self { events: 1, bytes });
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}
