//! Output that others hold open when recording ends: a server in the background that the command started, for one.

use std::path::Path;
use std::process::{Command, Stdio};

use tokio::process::{ChildStderr, ChildStdout};

use crate::helper::READ_TO_NOWHERE;

/// Leaves the reading ends of pipes to a process that reads them to nowhere; returns who holds the writing ends.
#[cfg(unix)]
pub(super) fn leave(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    helper: Option<&Path>,
) -> Vec<String> {
    use std::os::fd::OwnedFd;
    let pipes = [
        stdout.and_then(|pipe| pipe.into_owned_fd().ok()),
        stderr.and_then(|pipe| pipe.into_owned_fd().ok()),
    ];
    let mut holders = Vec::new();
    for pipe in pipes.into_iter().flatten() {
        let pipe: OwnedFd = pipe;
        for holder in holders_of(&pipe) {
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
        let Some(program) = helper else {
            continue;
        };
        // Where it can't be started, the pipe is closed.
        let _left = Command::new(program)
            .arg(READ_TO_NOWHERE)
            .current_dir("/")
            .stdin(Stdio::from(pipe))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
    holders
}

#[cfg(not(unix))]
pub(super) fn leave(
    _stdout: Option<ChildStdout>,
    _stderr: Option<ChildStderr>,
    _helper: Option<&Path>,
) -> Vec<String> {
    Vec::new()
}

/// Returns the processes that have a pipe open, other than this one, as far as the system tells (Linux, and those of this
/// user): name and number.
#[cfg(unix)]
fn holders_of(pipe: &std::os::fd::OwnedFd) -> Vec<String> {
    let Ok(metadata) = pipe
        .try_clone()
        .map(std::fs::File::from)
        .and_then(|pipe| pipe.metadata())
    else {
        return Vec::new();
    };
    let link = format!("pipe:[{}]", std::os::unix::fs::MetadataExt::ino(&metadata));
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let id = process.file_name().into_string().ok()?;
            if id == own || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let files = std::fs::read_dir(process.path().join("fd")).ok()?;
            let holds = files.flatten().any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*link)
            });
            let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
            holds.then(|| format!("{} ({id})", name.trim()))
        })
        .collect()
}
