//! Which file is at a path, by the numbers of the file system.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Which file it is, whatever path leads there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum FileIdentity {
    /// Device and inode.
    Inode(u64, u64),
    /// The file system has no numbers that stay: the path stands for the file, and that it was moved can't be told.
    Path(PathBuf),
}

/// Which files the log and its index are, by device and inode; `None` for one that isn't there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogIdentity {
    pub(super) log: Option<(u64, u64)>,
    pub(super) index: Option<(u64, u64)>,
}

impl FileIdentity {
    /// Returns the identity of a file that was looked at twice.
    pub(super) fn of(path: &Path, once: Option<(u64, u64)>, twice: Option<(u64, u64)>) -> Self {
        match once {
            Some((device, inode)) if once == twice => Self::Inode(device, inode),
            _ => {
                static WARNED: Once = Once::new();
                WARNED.call_once(|| {
                    tracing::warn!(
                        "the file system gives files no lasting numbers: a database that is moved while it is open is not noticed"
                    );
                });
                Self::Path(path.to_owned())
            }
        }
    }
}

/// Returns device and inode of what is at a path, without following a symbolic link; `None` where there are no such.
///
/// It asks for nothing more: a file whose times somebody has read gets a new time at its next write, and that costs a log 70 µs
/// a commit (<https://docs.kernel.org/filesystems/multigrain-ts.html>).
#[cfg(target_os = "linux")]
pub(super) fn look(path: &Path) -> io::Result<Option<(u64, u64)>> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    use rustix::io::Errno;
    let found = match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO) {
        Ok(found) => found,
        // Linux before 4.11, and sandboxes that don't know the call.
        Err(Errno::NOSYS | Errno::PERM) => return look_at_all(path),
        Err(error) => return Err(error.into()),
    };
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    Ok(Some((device, found.stx_ino)))
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn look(path: &Path) -> io::Result<Option<(u64, u64)>> {
    look_at_all(path)
}

#[cfg(unix)]
fn look_at_all(path: &Path) -> io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(Some((metadata.dev(), metadata.ino())))
}

#[cfg(not(unix))]
pub(super) fn look(_: &Path) -> io::Result<Option<(u64, u64)>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::FileIdentity;

    #[test]
    fn a_file_whose_numbers_change_by_themselves_is_known_by_its_path() {
        let path = Path::new("state.db");
        let of = |once, twice| FileIdentity::of(path, once, twice);
        assert_eq!(of(Some((1, 2)), Some((1, 2))), FileIdentity::Inode(1, 2));
        for other in [Some((1, 3)), Some((2, 2)), None] {
            assert_eq!(of(Some((1, 2)), other), FileIdentity::Path(path.into()));
        }
        assert_eq!(of(None, None), FileIdentity::Path(path.into()));
    }
}
