//! How a database file and its directories are made, so that they outlive a power cut.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::filesystem::beside;

/// Checks that the names of the files beside the database aren't too long, before anything is made.
pub(super) fn check_names(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    for suffix in ["-journal", "-gate"] {
        let beside = beside(path, suffix);
        match fs::symlink_metadata(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err((beside, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Creates a directory, and those above it that are missing, so that they outlive a power cut: a new name is in the
/// directory above.
pub(super) fn create_directories(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|directory| !directory.as_os_str().is_empty() && !directory.exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // A link that leads nowhere: what could be made there isn't what its name says.
    if missing.iter().any(|directory| directory.is_symlink()) {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    missing
        .iter()
        .try_for_each(|directory| sync_directory(directory.parent()))
}

/// Writes the names in a directory to the disk.
#[cfg(unix)]
#[allow(clippy::disallowed_methods)] // A directory is no database.
fn sync_directory(path: Option<&Path>) -> io::Result<()> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    let synced = fs::File::open(path.unwrap_or(Path::new("."))).and_then(|file| file.sync_all());
    match synced {
        // Some file systems know no such thing, and a directory may be open to pass through, but not to read.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
fn sync_directory(_: Option<&Path>) -> io::Result<()> {
    Ok(())
}

/// Creates the file unless another process was faster; the -wal and -shm files inherit its mode.
pub(super) fn create_file(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => {
            drop(created?);
            sync_directory(path.parent())
        }
    }
}
