//! The process that leads the session of the command's terminal, and the one that keeps the command's group.
//!
//! The leader passes signals on, and ends as the command has ended. The command starts in a group that is in the foreground
//! of its terminal already: a process of ours is the first in it, until the command is there.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use descartes_state::AgentSignal;
use nix::sys::signal::{SigSet, Signal as Blocked};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, ioctl_tiocsctty, kill_process,
    kill_process_group, setsid, waitid, waitpid,
};
use rustix::termios::tcsetpgrp;

use crate::helper::{HOLD_GROUP, end_by};
use crate::run::{Caught, Signals};

/// Leads a session at a terminal and runs a command in it. The first argument is the terminal's path, the others are the
/// command. Standard output takes [reports](super::reports).
pub(crate) fn lead_session(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let terminal = arguments.next().unwrap_or_default();
    let command: Vec<OsString> = arguments.collect();
    let mut reports = io::stdout();
    match lead(Path::new(&terminal), &command, &mut reports) {
        Ok(Some(status)) => end_like(status),
        // It is reported.
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            let _told = writeln!(reports, "trouble {error}");
            ExitCode::FAILURE
        }
    }
}

/// Stays in its process group until standard input ends.
pub(crate) fn hold_group() -> ExitCode {
    let _ended = io::stdin().lock().read(&mut [0]);
    ExitCode::SUCCESS
}

fn lead(
    path: &Path,
    command: &[OsString],
    reports: &mut impl Write,
) -> io::Result<Option<WaitStatus>> {
    let signals = Signals::listen_leading()?;
    setsid()?;
    let terminal = OpenOptions::new().read(true).write(true).open(path)?;
    ioctl_tiocsctty(&terminal)?;
    let (keeper, group) = Keeper::start()?;
    tcsetpgrp(&terminal, group)?;
    let stdio = || terminal.try_clone().map(Stdio::from);
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let started = Command::new(program)
        .args(arguments)
        .stdin(stdio()?)
        .stdout(stdio()?)
        .stderr(stdio()?)
        .process_group(group.as_raw_pid())
        .spawn();
    keeper.end();
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            writeln!(
                reports,
                "error {}",
                error.raw_os_error().unwrap_or_default()
            )?;
            return Ok(None);
        }
    };
    let pid = pid_of(&child)?;
    writeln!(reports, "started {pid}")?;
    let running = Arc::new(Mutex::new(Some(pid)));
    let heard = Arc::clone(&running);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || pass_on(signals, &heard, group))?;
    let status = wait(pid, &running, reports)?;
    hand_over(&terminal)?;
    Ok(Some(status))
}

/// The first process of the command's group.
struct Keeper(Child);

impl Keeper {
    /// Starts it in a group of its own; returns the group too.
    fn start() -> io::Result<(Self, Pid)> {
        let child = Command::new(std::env::current_exe()?)
            .arg(HOLD_GROUP)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let group = pid_of(&child)?;
        Ok((Self(child), group))
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        // It has nothing to say, and can't be waited for in vain: its input has ended.
        let _ended = self.0.wait();
    }
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Passes signals on to the command for as long as there is one.
fn pass_on(mut signals: Signals, running: &Mutex<Option<Pid>>, group: Pid) {
    while let Some(caught) = signals.next_blocking() {
        // Reaped under the same lock: the number is the command's.
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pid) = *running else {
            return;
        };
        // It fails where the command runs as another user.
        let _sent = match caught {
            // The terminal was hung up: so a shell tells its jobs.
            Caught {
                signal: AgentSignal::Hangup,
                is_from_terminal: true,
                ..
            } => kill_process_group(group, Signal::HUP)
                .and_then(|()| kill_process_group(group, Signal::CONT)),
            Caught {
                signal: AgentSignal::Continue,
                ..
            } => kill_process_group(group, Signal::CONT),
            Caught { number, .. } => match Signal::from_named_raw(i32::from(number)) {
                Some(signal) => kill_process(pid, signal),
                None => Ok(()),
            },
        };
    }
}

/// Waits for the command's end, and reports each time that it stops.
fn wait(
    pid: Pid,
    running: &Mutex<Option<Pid>>,
    reports: &mut impl Write,
) -> io::Result<WaitStatus> {
    loop {
        let changes = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(pid), changes) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, status)) = waitpid(Some(pid), WaitOptions::UNTRACED | WaitOptions::NOHANG)?
        else {
            continue;
        };
        if !status.stopped() {
            *running = None;
            return Ok(status);
        }
        drop(running);
        writeln!(reports, "stopped")?;
    }
}

/// Takes the place of the command in the foreground: whoever is there when the leader ends is hung up on.
fn hand_over(terminal: &File) -> io::Result<()> {
    // Doing this from the background stops a process, unless it doesn't hear of it (tcsetpgrp(3)).
    let mut stopping = SigSet::empty();
    stopping.add(Blocked::SIGTTOU);
    stopping.thread_block()?;
    match tcsetpgrp(terminal, rustix::process::getpgrp()) {
        // It was hung up already.
        Ok(()) | Err(rustix::io::Errno::IO | rustix::io::Errno::NOTTY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends as the command has, by a signal too.
fn end_like(status: WaitStatus) -> ExitCode {
    if let Some(signal) = status.terminating_signal() {
        end_by(signal);
        return ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX));
    }
    let code = status.exit_status().unwrap_or(1);
    ExitCode::from(u8::try_from(code & 0xFF).unwrap_or(u8::MAX))
}
