//! Output that others hold open when recording ends: a server in the background that the command started, for one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::source::Source;
use crate::helper::READ_TO_NOWHERE;

/// Leaves the reading ends of streams to a process that reads them to nowhere; returns who holds the writing ends.
#[cfg(unix)]
pub(super) fn leave(
    sources: Vec<Source>,
    terminal: Option<&Path>,
    helper: Option<&Path>,
) -> Vec<String> {
    let mut holders = Vec::new();
    for source in sources {
        let Ok(end) = source.into_owned_fd() else {
            continue;
        };
        let link = match terminal {
            Some(path) => Some(path.to_owned()),
            None => link_of(&end),
        };
        for holder in link.iter().flat_map(|link| holders_of(link)) {
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
        let Some(program) = helper else {
            continue;
        };
        // Where it can't be started, the stream is closed.
        let _left = Command::new(program)
            .arg(READ_TO_NOWHERE)
            .current_dir("/")
            .stdin(Stdio::from(end))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
    holders
}

#[cfg(not(unix))]
pub(super) fn leave(
    _sources: Vec<Source>,
    _terminal: Option<&Path>,
    _helper: Option<&Path>,
) -> Vec<String> {
    Vec::new()
}

/// Returns how the system names a pipe where somebody has it open.
#[cfg(unix)]
fn link_of(pipe: &std::os::fd::OwnedFd) -> Option<PathBuf> {
    let file = std::fs::File::from(pipe.try_clone().ok()?);
    let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().ok()?);
    Some(format!("pipe:[{inode}]").into())
}

/// Returns the processes that have a file open, other than this one, as far as the system tells (Linux, and those of this
/// user): name and number.
#[cfg(unix)]
fn holders_of(link: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let id = process.file_name().into_string().ok()?;
            if id == own || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let files = std::fs::read_dir(process.path().join("fd")).ok()?;
            let holds = files
                .flatten()
                .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == link));
            let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
            holds.then(|| format!("{} ({id})", name.trim()))
        })
        .collect()
}
