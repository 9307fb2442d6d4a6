//! Why a database can't be opened, where SQLite says only that it can't.

use std::io;
use std::path::{Path, PathBuf};

use super::filesystem::{beside, check_readable, check_writable, try_to_make};

/// Looks for the file that can't be read, written or made.
///
/// # Errors
/// The first such file or directory, with what the system says of it.
pub(super) fn find_obstacle(path: &Path, is_read_only: bool) -> Result<(), (PathBuf, io::Error)> {
    let log = [beside(path, "-wal"), beside(path, "-shm")];
    for path in [path].into_iter().chain(log.iter().map(PathBuf::as_path)) {
        let named = |error| (path.to_owned(), error);
        match check_readable(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            checked => checked.map_err(named)?,
        }
        if !is_read_only {
            check_writable(path).map_err(named)?;
        }
    }
    if !is_read_only && !log.iter().all(|path| path.exists()) {
        let directory = path.parent().unwrap_or(path);
        try_to_make(path).map_err(|error| (directory.to_owned(), error))?;
    }
    Ok(())
}
