//! The rows that one write changes, so that writes of several take them in one order.

use std::collections::BTreeSet;

use uuid::Uuid;

/// How many different locks there are. The server has room for some thousands at once; rows that share one only wait for each
/// other more often.
const LOCKS: u16 = 512;

/// Locks by the names of rows, in their order. Where writes of several rows took the rows' own locks one after the other, as they come
/// to them, two could wait for each other.
#[derive(Debug, Default)]
pub(crate) struct RowLocks {
    keys: BTreeSet<u16>,
}

impl RowLocks {
    pub(crate) fn add(&mut self, prefix: &str, aggregate: &'static str, key: &str) {
        let name = format!("{aggregate}\0{prefix}\0{key}");
        // Every program has to come to the same number.
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
        let [first, second, ..] = *digest.as_bytes();
        self.keys
            .insert(u16::from_be_bytes([first, second]) % LOCKS);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// Returns the locks to take, in this order. A write of one row takes none: it waits for nobody while it holds something.
    #[cfg(feature = "postgres")]
    pub(crate) fn into_keys(self) -> Vec<i64> {
        if self.keys.len() < 2 {
            return Vec::new();
        }
        self.keys.into_iter().map(i64::from).collect()
    }
}
