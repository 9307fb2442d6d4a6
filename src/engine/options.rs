//! The settings of a store.

use std::time::Duration;

use crate::clock::{Clock, SharedClock, SystemClock};
use crate::codec::Compression;
use crate::error::StateStoreError;
use crate::limits::Limits;

/// When an acknowledged write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Every acknowledged write is on disk: `synchronous=FULL`. It outlives a crash of the process, of the system, and a
    /// power cut.
    #[default]
    Full,
    /// Acknowledged writes outlive a crash of the process; the last of them may be lost in a power cut or a crash of the
    /// system, the file stays whole: `synchronous=NORMAL` (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
    Relaxed,
}

/// What opening may do to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OpenMode {
    /// Creates the file and its directories, and `initialize` migrates.
    #[default]
    Create,
    /// The file must exist, and `initialize` only checks that its schema is whole.
    Existing,
}

/// The settings of a store; the defaults are the guide's.
///
/// ```
/// use std::time::Duration;
/// use descartes_state::{Durability, StoreOptions};
///
/// let options = StoreOptions::default()
///     .compression(true)
///     .durability(Durability::Relaxed)
///     .busy_timeout(Duration::from_secs(2));
/// ```
///
/// Stores that are open on one file in one process share their connections: the first one's settings of connections,
/// timeouts, queue, log, budget and durability hold for all of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    pub(crate) readers: usize,
    pub(crate) kept: usize,
    pub(crate) acquire_timeout: Duration,
    pub(crate) busy_timeout: Duration,
    pub(crate) durability: Durability,
    pub(crate) write_queue: usize,
    pub(crate) write_queue_bytes: usize,
    pub(crate) wal_limit: u64,
    pub(crate) inline_budget: Duration,
    pub(crate) mode: OpenMode,
    pub(crate) allow_hard_links: bool,
    pub(crate) allow_network: bool,
    pub(crate) compression: Compression,
    pub(crate) limits: Limits,
    pub(crate) clock: SharedClock,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            readers: 10,
            kept: 1,
            acquire_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(30),
            durability: Durability::default(),
            write_queue: 4096,
            write_queue_bytes: 256 * 1024 * 1024,
            wal_limit: 1024 * 1024 * 1024,
            inline_budget: Duration::from_micros(500),
            mode: OpenMode::default(),
            allow_hard_links: false,
            allow_network: false,
            compression: Compression {
                enabled: false,
                threshold: 1024,
            },
            limits: Limits::default(),
            clock: SharedClock::new(SystemClock),
        }
    }
}

impl StoreOptions {
    /// Sets how many read connections there may be, and how many of [`pool`](crate::SqliteStateStore::pool) (10).
    #[must_use]
    pub fn readers(mut self, connections: usize) -> Self {
        self.readers = connections;
        self
    }

    /// Sets how many idle read connections are kept open; others are closed after a minute without use (1).
    #[must_use]
    pub fn kept_connections(mut self, connections: usize) -> Self {
        self.kept = connections;
        self
    }

    /// Sets how long a call waits for a connection, or for its turn to write (30 s).
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets how long a call waits for a lock that another process holds (30 s; at most 24 days).
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets when an acknowledged write is safe (full).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Operations that may wait to be written, a batch counted as one; more wait for room, up to the acquire timeout (4096).
    #[must_use]
    pub fn write_queue(mut self, operations: usize) -> Self {
        self.write_queue = operations;
        self
    }

    /// Bytes that may wait to be written, as rows that are ready; more wait for room, up to the acquire timeout (256 MiB). One
    /// operation that is larger than that waits until nothing else does. A closure counts for itself, not for what it holds.
    #[must_use]
    pub fn write_queue_bytes(mut self, bytes: usize) -> Self {
        self.write_queue_bytes = bytes;
        self
    }

    /// Sets the bytes that the write-ahead log may grow to while reads that stay open keep it from being moved into the
    /// database (1 GiB). Writes above it are refused with [`WalFull`](StateStoreError::WalFull) until such a read ends. The
    /// log may grow beyond it by what is being written when it is reached. Without such a read it begins again at 8 to 32
    /// MiB, under many inserts at up to some 64 MiB.
    #[must_use]
    pub fn wal_limit(mut self, bytes: u64) -> Self {
        self.wal_limit = bytes;
        self
    }

    /// Sets the inline budget: short writes are done on the caller's thread while recent ones took no longer than this,
    /// reads by key while they took no longer than a fifth of it, and pages of at most 128 rows that an index serves while
    /// they are predicted to take no longer; above that, on the runtime's blocking pool (500 µs; zero for never on the
    /// caller's thread).
    #[must_use]
    pub fn inline_budget(mut self, budget: Duration) -> Self {
        self.inline_budget = budget;
        self
    }

    /// Sets what opening may do to the file (create it, and migrate).
    #[must_use]
    pub fn mode(mut self, mode: OpenMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets whether a file with more than one name (hard links) is opened (no). SQLite keeps its log beside the name by which
    /// the file is opened: who opens it by another one reads an older state, and both together damage it
    /// (<https://www.sqlite.org/howtocorrupt.html>, section 2.5).
    #[must_use]
    pub fn allow_hard_links(mut self, allowed: bool) -> Self {
        self.allow_hard_links = allowed;
        self
    }

    /// Sets whether a file on a network file system is opened (no): NFS, SMB, 9p, AFS, Coda, Ceph, Lustre, GPFS. SQLite's log
    /// needs memory that all processes share (<https://www.sqlite.org/wal.html>): two machines that write to one file damage
    /// it. Allow it where only this machine uses the file.
    #[must_use]
    pub fn allow_network(mut self, allowed: bool) -> Self {
        self.allow_network = allowed;
        self
    }

    /// Sets whether state bodies above the threshold are stored as zstd (no). Both kinds read back alike whatever it says.
    #[must_use]
    pub fn compression(mut self, enabled: bool) -> Self {
        self.compression.enabled = enabled;
        self
    }

    /// Sets the bytes above which a state body is compressed (1024).
    #[must_use]
    pub fn compression_threshold(mut self, bytes: usize) -> Self {
        self.compression.threshold = bytes;
        self
    }

    /// Sets how large each input may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets where the store's own times come from (the machine's clock).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    pub(crate) fn check(&self) -> Result<(), StateStoreError> {
        const MOST_CONNECTIONS: usize = 1024;
        let refuse = |reason: &str| Err(StateStoreError::invalid("options", reason));
        if self.readers == 0 || self.readers > MOST_CONNECTIONS {
            return refuse("readers must be from 1 to 1024");
        }
        if self.kept > self.readers {
            return refuse("kept_connections must not be above readers");
        }
        if self.write_queue == 0 || self.write_queue > tokio::sync::Semaphore::MAX_PERMITS {
            return refuse("write_queue must hold at least one operation");
        }
        if self.write_queue_bytes == 0 {
            return refuse("write_queue_bytes must hold at least one byte");
        }
        if self.wal_limit < 1024 * 1024 {
            return refuse("wal_limit must be at least 1 MiB");
        }
        if self.busy_timeout.as_millis() > i32::MAX as u128 {
            return refuse("busy_timeout must not be above 24 days");
        }
        self.limits.check()
    }
}
