//! Database files on disk.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

/// Removes a database with its log and its index of the log; it may be missing.
pub(crate) fn remove(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies a closed database over another, and waits until it is on disk: writing it back must not be measured.
#[expect(
    clippy::disallowed_methods,
    reason = "no connection of this process is open on either file"
)]
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    File::open(to)?.sync_all()?;
    Ok(())
}
