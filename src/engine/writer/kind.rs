//! What kind of write a request is, and how much.

/// What kind of write it is: what it needs of a transaction, and where it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteKind {
    /// One writing statement over one row, which SQLite rolls back by itself if it fails. What else it asks, before and
    /// after, can only fail where the connection is broken.
    SingleStatement,
    /// A few statements: what those before a failure wrote has to be taken back.
    FewStatements,
    /// Any number of rows: a transaction of its own, and never on a runtime's thread. With a savepoint, SQLite would keep a
    /// copy of every page that it changes.
    Bulk,
    /// A caller's closure: a transaction of its own, on the blocking pool. The name of its type says where it stands in the
    /// source.
    Closure(&'static str),
    /// No transaction at all, on the blocking pool: a checkpoint, a migration.
    OutsideTransaction,
}

impl WriteKind {
    /// Returns whether it shares its transaction with no other.
    pub(super) fn is_exclusive(self) -> bool {
        matches!(
            self,
            Self::Bulk | Self::Closure(_) | Self::OutsideTransaction
        )
    }

    /// Returns whether it may run on a runtime's thread.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::SingleStatement | Self::FewStatements)
    }

    /// Returns what it is where it has this size: several statements that are too large to share a commit have a
    /// transaction of their own.
    pub(crate) fn of_size(self, size: WriteSize) -> Self {
        match self {
            Self::FewStatements if !size.is_within(SHARED) => Self::Bulk,
            kind => kind,
        }
    }
}

/// How much a write is: rows that it writes, as far as that is known before, and what it holds while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteSize {
    pub(crate) operations: usize,
    pub(crate) bytes: usize,
}

impl WriteSize {
    /// What isn't counted.
    #[cfg(feature = "postgres")]
    pub(crate) const NONE: Self = Self {
        operations: 0,
        bytes: 0,
    };
}

/// The most that shares a commit with others.
const SHARED: WriteSize = WriteSize {
    operations: 32,
    bytes: 256 << 10,
};
/// The most that runs on a runtime's thread.
pub(super) const INLINE_GROUP: WriteSize = WriteSize {
    operations: 31,
    bytes: 256 << 10,
};
/// The most in one write group. A single request may be larger.
pub(super) const GROUP: WriteSize = WriteSize {
    operations: 256,
    bytes: 1 << 20,
};

impl WriteSize {
    /// One operation of the store's own, that holds next to nothing.
    pub(crate) const SMALL: Self = Self {
        operations: 1,
        bytes: 0,
    };

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            bytes: self.bytes + other.bytes,
        }
    }

    pub(super) fn is_within(self, most: Self) -> bool {
        self.operations <= most.operations && self.bytes <= most.bytes
    }
}
