//! Paths, file creation, and the PRAGMAs of a new connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deadpool_diesel::sqlite::{Hook, HookError, Manager, Pool, Runtime};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::checkpoints::{KEPT_BYTES, MOST_PAGES};
use super::options::{Durability, OpenMode, StoreOptions};
use crate::error::{DatabaseError, DatabaseFailure, StateStoreError};

type PooledConnection = deadpool_diesel::Connection<SqliteConnection>;

/// A database file that exists, by a path that can't mean anything else to SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    text: String,
}

/// Which file it is, whatever path leads there: device and inode, where there are such.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

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
    pub(super) fn locate(path: &Path, mode: OpenMode) -> Result<Self, StateStoreError> {
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
                "{text:?} is not a file name; SqliteStateStore::temporary() gives a store that leaves nothing"
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
            create_directories(parent).map_err(|error| cannot_open(parent, error))?;
        }
        let path = parent
            .canonicalize()
            .map_err(|error| cannot_open(parent, error))?
            .join(name);
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
            Ok(_) => {}
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && mode == OpenMode::Create =>
            {
                create_file(&path).map_err(|error| cannot_open(&path, error))?;
            }
            Err(error) => return Err(cannot_open(&path, error)),
        }
        let Some(text) = path.to_str().map(str::to_owned) else {
            return refuse(format!("{} is not UTF-8", path.display()));
        };
        Ok(Self { path, text })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(unix)]
    pub(super) fn identity(&self) -> Result<Identity, StateStoreError> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(&self.path).map_err(|error| cannot_open(&self.path, error))?;
        Ok(Identity((metadata.dev(), metadata.ino())))
    }

    #[cfg(not(unix))]
    pub(super) fn identity(&self) -> Result<Identity, StateStoreError> {
        Ok(Identity(self.path.clone()))
    }

    /// Takes from everybody else what a file made by another program lets them do.
    #[cfg(unix)]
    pub(super) fn mend_mode(&self) -> Result<(), StateStoreError> {
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
    pub(super) fn mend_mode(&self) -> Result<(), StateStoreError> {
        Ok(())
    }

    /// A URI, so that SQLite never creates the file and reads nothing in its name as syntax
    /// (<https://www.sqlite.org/uri.html>). `mode` is `rw` or `ro`.
    pub(super) fn uri(&self, mode: &str) -> String {
        let path = utf8_percent_encode(&self.text, URI_PATH);
        let slash = if self.text.starts_with('/') { "" } else { "/" };
        format!("file://{slash}{path}?mode={mode}")
    }

    /// A connection of its own, outside every pool, with a busy timeout.
    pub(super) fn connect(
        &self,
        mode: &str,
        busy_timeout: Duration,
    ) -> Result<SqliteConnection, StateStoreError> {
        let mut connection = SqliteConnection::establish(&self.uri(mode))?;
        set_busy_timeout(&mut connection, busy_timeout)?;
        Ok(connection)
    }
}

fn cannot_open(path: &Path, error: std::io::Error) -> StateStoreError {
    let message = format!("{}: {error}", path.display());
    StateStoreError::DatabaseError(DatabaseError::new(DatabaseFailure::CannotOpen, message))
        .during("open")
}

#[cfg(unix)]
fn create_directories(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn create_directories(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

/// Creates the file unless another process was faster; the -wal and -shm files inherit its mode.
fn create_file(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Writer(Durability),
    Reader,
    /// Moves the write-ahead log into the database.
    Checkpointer,
}

/// The PRAGMAs of a connection, one a call, the busy timeout first.
pub(super) fn configure(
    connection: &mut SqliteConnection,
    role: Role,
    busy_timeout: Duration,
) -> Result<(), StateStoreError> {
    set_busy_timeout(connection, busy_timeout)?;
    let pragmas: &[&str] = match role {
        Role::Writer(Durability::Full) => &["synchronous = FULL", "query_only = OFF"],
        Role::Writer(Durability::Relaxed) => &["synchronous = NORMAL", "query_only = OFF"],
        Role::Reader => &["query_only = ON"],
        Role::Checkpointer => &["synchronous = FULL"],
    };
    const COMMON: &[&str] = &[
        "foreign_keys = ON",
        "ignore_check_constraints = OFF",
        "writable_schema = OFF",
        "recursive_triggers = OFF",
    ];
    for pragma in pragmas.iter().chain(COMMON) {
        connection.batch_execute(&format!("PRAGMA {pragma};"))?;
    }
    bound_log(connection)
}

/// What SQLite itself does about the log's size; it has no function that reads the first.
pub(super) fn bound_log(connection: &mut SqliteConnection) -> Result<(), StateStoreError> {
    let pragmas = format!(
        "PRAGMA wal_autocheckpoint = {MOST_PAGES}; PRAGMA journal_size_limit = {KEPT_BYTES};"
    );
    Ok(connection.batch_execute(&pragmas)?)
}

pub(super) fn set_busy_timeout(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> Result<(), StateStoreError> {
    let pragma = format!("PRAGMA busy_timeout = {};", timeout.as_millis());
    Ok(connection.batch_execute(&pragma)?)
}

/// The deadpool pool for the application's own queries: its connections are readers.
pub(super) fn pool(file: &DatabaseFile, options: &StoreOptions) -> Result<Pool, StateStoreError> {
    let busy_timeout = options.busy_timeout;
    let manager = Manager::new(file.uri("rw"), Runtime::Tokio1);
    Pool::builder(manager)
        .max_size(options.readers)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(options.acquire_timeout))
        .create_timeout(Some(options.acquire_timeout))
        .recycle_timeout(Some(options.acquire_timeout))
        .post_create(Hook::async_fn(move |object: &mut PooledConnection, _| {
            Box::pin(async move {
                object
                    .interact(move |connection| configure(connection, Role::Reader, busy_timeout))
                    .await
                    .map_err(|error| HookError::message(error.to_string()))?
                    .map_err(|error| HookError::message(error.to_string()))
            })
        }))
        .build()
        .map_err(|error| {
            StateStoreError::DatabaseError(DatabaseError::new(DatabaseFailure::Other, error))
        })
}

/// Closes the pool's idle connections on this thread, so that they are closed when this returns. Those that are out are
/// their holders'. Inside a runtime only.
pub(super) fn close_pool(pool: &Pool) {
    let idle = pool.retain(|_, _| false).removed;
    pool.close();
    for connection in idle {
        // deadpool closes in the background; an empty database in memory stands in for the connection until then.
        let stand_in = SqliteConnection::establish(":memory:");
        if let (Ok(mut connection), Ok(stand_in)) = (connection.lock(), stand_in) {
            drop(std::mem::replace(&mut *connection, stand_in));
        }
    }
}
