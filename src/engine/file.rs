//! The database file: its path, its creation, its permissions, and which file it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::creation::{check_names, create_directories, create_file};
use super::file_identity::{FileIdentity, LogIdentity, look};
use super::filesystem::{self, FileSystem, beside, size};
use super::obstacle::find_obstacle;
use super::options::{OpenMode, StoreOptions};
use super::read_only;
use crate::error::{DatabaseError, DatabaseFailure, StateStoreError};

/// A database file that exists, by a path that can't mean anything else to SQLite. Clones watch the same file.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    text: String,
    identity: FileIdentity,
    /// Why it can't be written, where that is so.
    read_only: Option<Arc<str>>,
    has_moved: Arc<AtomicBool>,
    /// Whether its content is another store's.
    is_overwritten: Arc<AtomicBool>,
    /// Which store it is, once a writer knows.
    store_id: Arc<Mutex<Option<String>>>,
    /// Whether the log beside the file was looked at, and is its own.
    has_own_log: Arc<AtomicBool>,
}

/// What a URI's path may hold unescaped.
const URI_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'_')
    .remove(b'-');

impl DatabaseFile {
    /// Checks the path, makes it absolute, and creates directories (0700) and file (0600) where the mode allows it.
    ///
    /// The file is never opened where it exists: closing it would drop the locks that SQLite holds in this process
    /// (<https://www.sqlite.org/howtocorrupt.html>, section 2.2). The caller holds the process-wide creation lock.
    pub(super) fn locate(path: &Path, options: &StoreOptions) -> Result<Self, StateStoreError> {
        let mode = options.mode;
        let refuse = |reason: String| Err(StateStoreError::invalid("path", reason));
        let Some(text) = path.to_str() else {
            return refuse(format!("{} is not UTF-8", path.display()));
        };
        if text.is_empty() {
            return refuse("it is empty: name a file".into());
        }
        if text.contains('\0') {
            return refuse("it holds a NUL character".into());
        }
        if text.starts_with("file:") || text.starts_with("sqlite:") || text == ":memory:" {
            return refuse(format!(
                "{text:?} is not a file name; SqliteStateStore::temporary() returns a store that leaves nothing"
            ));
        }
        let Some(name) = path.file_name() else {
            return refuse(format!("{text:?} names no file"));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if mode == OpenMode::Create {
            create_directories(parent).map_err(|error| {
                // To who makes a directory, a link that leads in a circle is only a name that is taken.
                let found = parent.canonicalize().err();
                let found = found.filter(|found| found.kind() != io::ErrorKind::NotFound);
                cannot_open(parent, found.unwrap_or(error))
            })?;
        }
        let path = parent
            .canonicalize()
            .map_err(|error| cannot_open(parent, error))?
            .join(name);
        let read_only = read_only::reason(&path);
        if read_only.is_none() {
            check_file_system(&path, options)?;
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                return refuse(format!(
                    "{} is a symbolic link: name the file itself",
                    path.display()
                ));
            }
            Ok(metadata) if !metadata.is_file() => {
                return refuse(format!("{} is not a regular file", path.display()));
            }
            Ok(metadata) if names_of(&metadata) > 1 && !options.allow_hard_links => {
                return refuse(format!(
                    "{} is a file with {} names (hard links): SQLite keeps its log beside one of them, so that what is \
                     written by another name damages it; remove the other names, or set StoreOptions::allow_hard_links",
                    path.display(),
                    names_of(&metadata)
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // SQLite would remove it, and with it the only trace of what was committed last.
                let log = beside(&path, "-wal");
                if size(&log) > 0 {
                    return Err(StateStoreError::ForeignWal {
                        path: log,
                        reason: "its own file is gone".into(),
                    });
                }
                if mode != OpenMode::Create {
                    return Err(cannot_open(&path, error));
                }
                check_names(&path).map_err(|(path, error)| cannot_open(&path, error))?;
                create_file(&path).map_err(|error| cannot_open(&path, error))?;
            }
            Err(error) => return Err(cannot_open(&path, error)),
        }
        let Some(text) = path.to_str().map(str::to_owned) else {
            return refuse(format!("{} is not UTF-8", path.display()));
        };
        let number = || look(&path).map_err(|error| cannot_open(&path, error));
        let identity = FileIdentity::of(&path, number()?, number()?);
        Ok(Self {
            path,
            text,
            identity,
            read_only: read_only.map(Arc::from),
            has_moved: Arc::default(),
            is_overwritten: Arc::default(),
            store_id: Arc::default(),
            has_own_log: Arc::default(),
        })
    }

    /// Checks that the file is still at its path: neither deleted, renamed, replaced nor put behind a symbolic link. Once it
    /// isn't, it never is again.
    ///
    /// # Errors
    /// `DatabaseMoved`.
    pub(super) fn check_place(&self) -> Result<(), StateStoreError> {
        let is_there = match self.identity {
            FileIdentity::Inode(device, inode) => {
                look(&self.path).is_ok_and(|found| found == Some((device, inode)))
            }
            FileIdentity::Path(_) => true,
        };
        if !is_there {
            self.has_moved.store(true, Ordering::Release);
        }
        self.refuse_moved()
    }

    /// Refuses a file of which it was seen that it moved; looks at nothing.
    pub(super) fn refuse_moved(&self) -> Result<(), StateStoreError> {
        if self.has_moved.load(Ordering::Acquire) {
            return Err(StateStoreError::DatabaseMoved {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Takes note that the content is another store's.
    pub(super) fn lose_content(&self) -> StateStoreError {
        self.has_moved.store(true, Ordering::Release);
        self.is_overwritten.store(true, Ordering::Release);
        StateStoreError::DatabaseMoved {
            path: self.path.clone(),
        }
    }

    /// Returns whether the content was found to be another store's.
    pub(super) fn is_overwritten(&self) -> bool {
        self.is_overwritten.load(Ordering::Acquire)
    }

    /// Takes note of which store it is; `None` where its migrations are reverted.
    pub(super) fn know_store(&self, store_id: Option<String>) {
        *self.lock_store() = store_id;
    }

    pub(super) fn store_id(&self) -> Option<String> {
        self.lock_store().clone()
    }

    fn lock_store(&self) -> MutexGuard<'_, Option<String>> {
        self.store_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns which files the log and its index are.
    pub(super) fn log_identity(&self) -> LogIdentity {
        let identity = |path: PathBuf| look(&path).ok().flatten();
        LogIdentity {
            log: identity(self.beside("-wal")),
            index: identity(self.beside("-shm")),
        }
    }

    /// Takes note that the log, or its index, is no longer the one that was written to: what stands in it is as good as gone.
    pub(super) fn lose_log(&self, known: &LogIdentity, found: &LogIdentity) -> StateStoreError {
        self.has_moved.store(true, Ordering::Release);
        let suffix = if known.log == found.log {
            "-shm"
        } else {
            "-wal"
        };
        StateStoreError::DatabaseMoved {
            path: self.beside(suffix),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.path, suffix)
    }

    /// Says which file can't be opened, and why, where SQLite says only that one can't.
    pub(super) fn explain(&self, error: StateStoreError) -> StateStoreError {
        let StateStoreError::DatabaseError(cause) = &error else {
            return error;
        };
        if cause.kind() != DatabaseFailure::CannotOpen || !cause.is_of_sqlite() {
            return error;
        }
        match find_obstacle(&self.path, self.is_read_only()) {
            Err((path, found)) => {
                StateStoreError::DatabaseError(DatabaseError::of_system(&path, &found))
                    .during(cause.operation())
            }
            Ok(()) => error,
        }
    }

    /// Refuses to write where nothing can be written.
    ///
    /// # Errors
    /// `ReadOnly`.
    pub(super) fn refuse_read_only(&self) -> Result<(), StateStoreError> {
        match &self.read_only {
            Some(reason) => Err(StateStoreError::ReadOnly {
                path: self.path.clone(),
                reason: reason.to_string(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.is_some()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn identity(&self) -> &FileIdentity {
        &self.identity
    }

    /// Takes the rights of others away, which a file made by another program may leave them.
    #[cfg(unix)]
    pub(super) fn restrict_permissions(&self) -> Result<(), StateStoreError> {
        use std::os::unix::fs::PermissionsExt;
        let cannot = |error| cannot_open(&self.path, error);
        let mode = fs::metadata(&self.path)
            .map_err(cannot)?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            tracing::warn!("the database file was open to others: its mode is now 0600");
            fs::set_permissions(&self.path, fs::Permissions::from_mode(mode & 0o700))
                .map_err(cannot)?;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(super) fn restrict_permissions(&self) -> Result<(), StateStoreError> {
        Ok(())
    }

    /// Returns whether a log or a journal lies beside the file.
    pub(super) fn has_log(&self) -> bool {
        ["-wal", "-journal"]
            .into_iter()
            .any(|suffix| self.beside(suffix).exists())
    }

    /// Returns the bytes of the file, and of the log beside it.
    pub(super) fn sizes(&self) -> (u64, u64) {
        (size(&self.path), size(&self.beside("-wal")))
    }

    /// Does the check of the log, unless it was done: once for as long as the file is open.
    pub(super) fn check_log_once(
        &self,
        check: impl FnOnce() -> Result<(), StateStoreError>,
    ) -> Result<(), StateStoreError> {
        if !self.has_own_log.load(Ordering::Acquire) {
            check()?;
            self.has_own_log.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Names a log that isn't this file's.
    pub(super) fn foreign_log(&self, reason: impl Into<String>) -> StateStoreError {
        StateStoreError::ForeignWal {
            path: self.beside("-wal"),
            reason: reason.into(),
        }
    }

    /// Returns a URI, so that SQLite never creates the file and reads nothing in its name as syntax
    /// (<https://www.sqlite.org/uri.html>).
    pub(super) fn uri(&self, access: Access) -> String {
        let path = utf8_percent_encode(&self.text, URI_PATH);
        let slash = if self.text.starts_with('/') { "" } else { "/" };
        let mode = match access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "ro",
            Access::WithoutLog => "ro&immutable=1",
        };
        format!("file://{slash}{path}?mode={mode}")
    }
}

/// What SQLite may do to the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
    /// The file alone, whatever log lies beside it; only for what no writer changes.
    WithoutLog,
}

fn cannot_open(path: &Path, error: io::Error) -> StateStoreError {
    StateStoreError::DatabaseError(DatabaseError::of_system(path, &error)).during("open")
}

/// Refuses a network file system unless it is allowed, and warns once of one of which nothing is known.
fn check_file_system(path: &Path, options: &StoreOptions) -> Result<(), StateStoreError> {
    match filesystem::of(path.parent().unwrap_or(path)) {
        FileSystem::Network(name) if !options.allow_network => Err(StateStoreError::Unsupported {
            reason: format!(
                "{} is on a network file system ({name}), where the locks and the shared memory of SQLite's log don't hold: \
                 choose a local disk, or set StoreOptions::allow_network where only this machine uses the file",
                path.display()
            ),
        }),
        FileSystem::Unknown(name) => {
            static WARNED: Once = Once::new();
            WARNED.call_once(|| {
                tracing::warn!(
                    file_system = name,
                    "the database is on a file system that stands for another: make sure that it is a local disk"
                );
            });
            Ok(())
        }
        FileSystem::Network(_) | FileSystem::Local => Ok(()),
    }
}

#[cfg(unix)]
fn names_of(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
fn names_of(_: &fs::Metadata) -> u64 {
    1
}
