//! What a writer expects to find.

use std::fmt;

/// What a write expects of the row it changes; a row that isn't so is left as it is.
///
/// The plain saves of the guide are [`Any`](Self::Any). Revisions are the store's: it raises a row's revision by one at
/// every write, and they go on rising when a row is deleted, purged and made anew, so an old writer can never match.
///
/// | | no row | a row at revision `r` | a soft-deleted row |
/// |---|---|---|---|
/// | `Any` | saved; `NotFound` for a change of what must exist | written | saved anew; `NotFound` for a change |
/// | `Absent` | as `Any` | `Conflict` | as `Any` |
/// | `Revision(n)` | `NotFound` | written if `n == r`, else `Conflict` | `Deleted` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Expected {
    /// Whatever is there.
    #[default]
    Any,
    /// No row, or a soft-deleted one.
    Absent,
    /// A row at exactly this revision.
    Revision(i64),
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("in any state"),
            Self::Absent => formatter.write_str("not to exist"),
            Self::Revision(revision) => write!(formatter, "at revision {revision}"),
        }
    }
}
