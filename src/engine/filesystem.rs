//! What the system says of a path: what kind of file system it is on, since SQLite's log needs memory that all processes
//! share, and locks that hold; and what may be done to it.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the path of a file that SQLite, or the store, keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Returns the bytes of a file; 0 where there is none.
pub(super) fn size(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |metadata| metadata.len())
}

/// Asks whether this process may write to a file, or make files in a directory.
///
/// # Errors
/// The system's reason why it may not.
#[cfg(unix)]
pub(super) fn check_writable(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?)
}

/// Asks whether this process may read a file.
///
/// # Errors
/// The system's reason why it may not.
#[cfg(unix)]
pub(super) fn check_readable(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS)?)
}

#[cfg(not(unix))]
pub(super) fn check_readable(path: &Path) -> std::io::Result<()> {
    fs::metadata(path).map(drop)
}

/// Tries whether a file can be made beside a database.
///
/// # Errors
/// The system's reason why it can't.
pub(super) fn try_to_make(path: &Path) -> std::io::Result<()> {
    let probe = beside(path, "-probe");
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
    {
        Ok(_) => fs::remove_file(&probe),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(super) fn check_writable(path: &Path) -> std::io::Result<()> {
    if fs::metadata(path)?.is_file() && fs::metadata(path)?.permissions().readonly() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// What can be expected of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// Nothing against it is known.
    Local,
    /// Other machines may write to it, and see neither the locks nor the memory of this one.
    Network(&'static str),
    /// It stands for another, which may be anything.
    Unknown(&'static str),
}

/// Returns the kind of the file system that a path is on.
#[cfg(target_os = "linux")]
pub(super) fn of(path: &Path) -> FileSystem {
    match rustix::fs::statfs(path) {
        // The number has 32 bits; its type is wider on some machines, and signed.
        Ok(found) => by_number(i128::from(found.f_type) & 0xffff_ffff),
        Err(_) => FileSystem::Local,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_: &Path) -> FileSystem {
    FileSystem::Local
}

/// The numbers are those of `statfs(2)` and of the kernel's `linux/magic.h`.
#[cfg(target_os = "linux")]
fn by_number(number: i128) -> FileSystem {
    match number {
        0x6969 => FileSystem::Network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => FileSystem::Network("SMB"),
        0x0102_1997 => FileSystem::Network("9p"),
        0x5346_414f | 0x6b41_4653 => FileSystem::Network("AFS"),
        0x7375_7245 => FileSystem::Network("Coda"),
        0x00c3_6400 => FileSystem::Network("Ceph"),
        0x0bd0_0bd0 => FileSystem::Network("Lustre"),
        0x4750_4653 => FileSystem::Network("GPFS"),
        // Gluster is mounted through FUSE, and as such can't be told from it.
        0x6573_5546 => FileSystem::Unknown("FUSE"),
        0x6a65_6a63 => FileSystem::Unknown("virtiofs"),
        0x794c_7630 => FileSystem::Unknown("overlay"),
        _ => FileSystem::Local,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{FileSystem, by_number};

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        for number in [
            0x6969,
            0x517b,
            0xff53_4d42,
            0xfe53_4d42,
            0x0102_1997,
            0x00c3_6400,
            0x0bd0_0bd0,
        ] {
            assert!(
                matches!(by_number(number), FileSystem::Network(_)),
                "{number:x}"
            );
        }
        for number in [0x6573_5546, 0x794c_7630] {
            assert!(
                matches!(by_number(number), FileSystem::Unknown(_)),
                "{number:x}"
            );
        }
        // ext4, XFS, btrfs, tmpfs, ZFS.
        for number in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1] {
            assert_eq!(by_number(number), FileSystem::Local, "{number:x}");
        }
    }
}
