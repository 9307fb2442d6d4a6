//! What a transaction leaves for the engine.

use diesel::SqliteConnection;

/// Opens a savepoint; returns its name, or `None` where no transaction is open any more.
pub(crate) type BeforeLending = fn(&mut SqliteConnection) -> Option<String>;

/// What the operations of one transaction did, as far as somebody has to act on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitNotes {
    /// How many events were appended: the full-text index doesn't hold them yet.
    pub(crate) appended: usize,
    /// What the engine does before a caller's closure gets the connection itself, which nobody else does.
    pub(crate) before_lending: Option<BeforeLending>,
    /// A caller's closure had the connection itself: it may have written any row, and changed settings. What this is, is the
    /// engine's: the name of a savepoint.
    pub(crate) lent_within: Option<String>,
    /// It could not be lent, because the transaction had ended.
    pub(crate) lending_failed: bool,
    /// The last event when the connection was lent: what is above it was written through the connection.
    pub(crate) last_event_before: Option<i64>,
    /// The number of the transaction, where a statement has returned it.
    #[cfg(feature = "postgres")]
    pub(crate) transaction: Option<i64>,
    /// Up to which number each table was whole before the transaction's snapshot was taken; empty where each statement sees
    /// what is there when it runs.
    #[cfg(feature = "postgres")]
    pub(crate) settled: Vec<(&'static str, i64)>,
}
