//! Reading where nothing may be written: a read-only mount, another user's directory, a layer of an image.
//!
//! Where a log lies beside the file, SQLite reads it through the memory that its writers share. Where there is none, SQLite
//! could only make one, so the file is opened as one that never changes (`immutable`,
//! <https://www.sqlite.org/uri.html#uriimmutable>). SQLite takes no lock then, and sees no change: whoever may write to the
//! file after all makes what is read wrong. So each read is held against the file as it was before and as it is after.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::filesystem::{beside, check_writable, size};
use crate::error::{DatabaseError, DatabaseFailure, StateStoreError};

/// Returns why a database can't be written; `None` where it can, and where there is none yet.
pub(super) fn reason(path: &Path) -> Option<String> {
    let refusal = |path: &Path| match check_writable(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Some(format!("{}: {error}", path.display()))
        }
        _ => None,
    };
    if !path.exists() {
        return None;
    }
    if let Some(reason) = refusal(path) {
        return Some(reason);
    }
    let companions = ["-wal", "-shm"].map(|suffix| beside(path, suffix));
    if let Some(reason) = companions.iter().find_map(|path| refusal(path)) {
        return Some(reason);
    }
    // Both have to be made where they are missing.
    if companions.iter().all(|path| path.exists()) {
        return None;
    }
    path.parent().and_then(refusal)
}

/// How a database is read that can't be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Through the log beside it, and the memory that its writers share.
    ThroughLog,
    /// The file alone, as long as it is the one with this stamp.
    Unchanging(FileStamp),
}

/// Returns how a database is to be read now.
///
/// # Errors
/// `DatabaseError` where the log beside it holds commits that can't be read, and says what is missing.
pub(super) fn reading(path: &Path) -> Result<Reading, StateStoreError> {
    let (log, memory) = (beside(path, "-wal"), beside(path, "-shm"));
    match (size(&log) > 0, memory.exists()) {
        (_, true) if log.exists() => Ok(Reading::ThroughLog),
        (false, _) => FileStamp::settled(path).map(Reading::Unchanging),
        (true, _) => Err(StateStoreError::DatabaseError(DatabaseError::new(
            DatabaseFailure::CannotOpen,
            format!(
                "{} holds commits that are not in the file, and can't be read without {}, which is missing and can't be made \
                 here: copy file and log together to a place where you may write, and read them there",
                log.display(),
                memory.display()
            ),
        ))
        .during("open")),
    }
}

/// What tells one content of a file from another: which file it is, its size and times, and whether a log lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileStamp {
    file: FileFacts,
    log_bytes: u64,
    has_memory: bool,
}

/// A file's times go forward in steps of the system's clock, up to 10 ms apart: one that was written to in this step may be
/// written to once more without a trace.
const CLOCK_STEP: Duration = Duration::from_millis(20);

impl FileStamp {
    pub(super) fn of(path: &Path) -> Result<Self, StateStoreError> {
        let facts = FileFacts::of(path).map_err(|error| {
            StateStoreError::DatabaseError(DatabaseError::of_system(path, &error))
        })?;
        Ok(Self {
            file: facts,
            log_bytes: size(&beside(path, "-wal")),
            has_memory: beside(path, "-shm").exists(),
        })
    }

    /// Returns a stamp that no further write leaves as it is; waits a moment where the last one was just now.
    fn settled(path: &Path) -> Result<Self, StateStoreError> {
        let stamp = Self::of(path)?;
        let Some(age) = stamp.file.age() else {
            return Ok(stamp);
        };
        if age < CLOCK_STEP {
            #[allow(clippy::disallowed_methods)] // Nothing tells when the system's clock goes on.
            std::thread::sleep(CLOCK_STEP - age);
            return Self::of(path);
        }
        Ok(stamp)
    }
}

/// Device, inode, bytes, and the times of the last change of content and of anything, in seconds and nanoseconds.
#[cfg(unix)]
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileFacts {
    identity: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[cfg(unix)]
impl FileFacts {
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self {
            identity: (metadata.dev(), metadata.ino()),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Returns how long ago it was last changed; `None` for a time to come.
    fn age(&self) -> Option<Duration> {
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        let since = Duration::new(
            u64::try_from(seconds).ok()?,
            u32::try_from(nanoseconds).ok()?,
        );
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.ok()?.checked_sub(since)
    }
}

#[cfg(not(unix))]
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileFacts {
    bytes: u64,
    modified: SystemTime,
}

#[cfg(not(unix))]
impl FileFacts {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified()?,
        })
    }

    fn age(&self) -> Option<Duration> {
        SystemTime::now().duration_since(self.modified).ok()
    }
}
