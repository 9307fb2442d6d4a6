//! What a write expects of the row that it writes.

use std::fmt;

use crate::numbers::Revision;

/// What a save expects of the row that it writes over, or in the place of.
///
/// The plain saves of the guide are [`Any`](Self::Any). Revisions are the store's: it raises a row's revision by one at
/// every write, and they go on rising when a row is deleted, purged and saved again, so an old writer can never match.
///
/// | | no row | a row at revision `r` | a soft-deleted row |
/// |---|---|---|---|
/// | `Any` | saved | written over | saved as a new row |
/// | `Absent` | saved | `Conflict` | saved as a new row |
/// | `Revision(n)` | `NotFound` | written over if `n == r`, else `Conflict` | `Deleted` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SaveIf {
    /// Whatever is there.
    #[default]
    Any,
    /// No row, or a soft-deleted one.
    Absent,
    /// A row at exactly this revision.
    Revision(Revision),
}

/// What a change expects of the row that it changes, which has to be there.
///
/// | | no row | a row at revision `r` | a soft-deleted row |
/// |---|---|---|---|
/// | `Any` | `NotFound` | changed | `NotFound` |
/// | `Revision(n)` | `NotFound` | changed if `n == r`, else `Conflict` | `Deleted` |
///
/// Undelete, purge and the restore of a snapshot reach soft-deleted rows too: an undelete and a purge treat one like any
/// other row, a restore with `Any` brings one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChangeIf {
    /// Whatever its revision.
    #[default]
    Any,
    /// A row at exactly this revision.
    Revision(Revision),
}

impl From<ChangeIf> for SaveIf {
    fn from(condition: ChangeIf) -> Self {
        match condition {
            ChangeIf::Any => Self::Any,
            ChangeIf::Revision(revision) => Self::Revision(revision),
        }
    }
}

impl From<Revision> for SaveIf {
    fn from(revision: Revision) -> Self {
        Self::Revision(revision)
    }
}

impl From<Revision> for ChangeIf {
    fn from(revision: Revision) -> Self {
        Self::Revision(revision)
    }
}

impl fmt::Display for SaveIf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("in any state"),
            Self::Absent => formatter.write_str("not to exist"),
            Self::Revision(revision) => write!(formatter, "at revision {revision}"),
        }
    }
}

impl fmt::Display for ChangeIf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        SaveIf::from(*self).fmt(formatter)
    }
}
