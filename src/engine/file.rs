//! The database file: its path, its creation, its permissions, and which file it is.

use std::fs;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::options::OpenMode;
use crate::error::{DatabaseError, StateStoreError};

/// A database file that exists, by a path that can't mean anything else to SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    text: String,
}

/// Which file it is, whatever path leads there: device and inode, where there are such.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileIdentity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

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
    pub(super) fn identity(&self) -> Result<FileIdentity, StateStoreError> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(&self.path).map_err(|error| cannot_open(&self.path, error))?;
        Ok(FileIdentity((metadata.dev(), metadata.ino())))
    }

    #[cfg(not(unix))]
    pub(super) fn identity(&self) -> Result<FileIdentity, StateStoreError> {
        Ok(FileIdentity(self.path.clone()))
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
        ["-wal", "-journal"].into_iter().any(|suffix| {
            let mut path = self.path.as_os_str().to_owned();
            path.push(suffix);
            Path::new(&path).exists()
        })
    }

    /// Returns a URI, so that SQLite never creates the file and reads nothing in its name as syntax
    /// (<https://www.sqlite.org/uri.html>).
    pub(super) fn uri(&self, access: Access) -> String {
        let path = utf8_percent_encode(&self.text, URI_PATH);
        let slash = if self.text.starts_with('/') { "" } else { "/" };
        let mode = match access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "ro",
        };
        format!("file://{slash}{path}?mode={mode}")
    }
}

/// What SQLite may do to the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

fn cannot_open(path: &Path, error: std::io::Error) -> StateStoreError {
    StateStoreError::DatabaseError(DatabaseError::of_system(path, &error)).during("open")
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
