//! What is typed, on its way to the command's terminal.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr};

use super::own::OwnTerminal;

/// How often it is looked whether somebody else reads, once the input has ended.
const END_PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether this program has come into the foreground.
const PAUSE: Duration = Duration::from_millis(500);

/// Passes on what is typed, or piped in, until that ends, the terminal goes, or `stop` is closed. It reads nothing that
/// the command's terminal is no longer there for.
pub(super) fn pass_on(own: &OwnTerminal, master: &Weak<OwnedFd>, path: &Path, stop: &OwnedFd) {
    let mut buffer = vec![0; 4096];
    let mut ends_with_line = true;
    while wait_for_input(own, stop) {
        let read = match rustix::io::read(own.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            // So a terminal ends that was hung up.
            Err(_) => return,
        };
        ends_with_line = read.last().is_none_or(|last| *last == b'\n');
        if !write(master, read, stop) {
            return;
        }
    }
    say_the_end(master, path, stop, ends_with_line);
}

/// Waits until something can be read; returns false where it is to stop.
fn wait_for_input(own: &OwnTerminal, stop: &OwnedFd) -> bool {
    loop {
        own.enter();
        let is_readable = own.is_readable();
        let input = own.as_fd();
        let mut ready = vec![PollFd::new(stop, PollFlags::IN)];
        if is_readable {
            ready.push(PollFd::new(&input, PollFlags::IN));
        }
        let timeout = Timespec::try_from(PAUSE).ok();
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return false,
        }
        let mut ready = ready.iter().map(|fd| !fd.revents().is_empty());
        if ready.next() == Some(true) {
            return false;
        }
        if ready.next() == Some(true) {
            return true;
        }
    }
}

/// Writes all of it, as fast as the command reads; returns false where that is over.
fn write(master: &Weak<OwnedFd>, mut bytes: &[u8], stop: &OwnedFd) -> bool {
    while !bytes.is_empty() {
        // Not for longer than it takes: the terminal is hung up when nobody has it.
        let Some(master) = master.upgrade() else {
            return false;
        };
        match rustix::io::write(&*master, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                let mut ready = [
                    PollFd::new(stop, PollFlags::IN),
                    PollFd::from_borrowed_fd(master.as_fd(), PollFlags::OUT),
                ];
                let timeout = Timespec::try_from(PAUSE).ok();
                let _waited = poll(&mut ready, timeout.as_ref());
                if !ready[0].revents().is_empty() {
                    return false;
                }
            }
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Tells whoever reads from the terminal that the input has ended, as often as somebody reads: by ctrl-d, which a pipe's end
/// is without a key. A reader of single keys hears it once each time that it begins to take them.
fn say_the_end(master: &Weak<OwnedFd>, path: &Path, stop: &OwnedFd, mut ends_with_line: bool) {
    let mut told_keys = false;
    loop {
        let Some(modes) = master.upgrade().and_then(|master| tcgetattr(&*master).ok()) else {
            return;
        };
        let is_by_lines = modes.local_modes.contains(LocalModes::ICANON);
        let end = [modes.special_codes[SpecialCodeIndex::VEOF]; 2];
        let is_due = if is_by_lines {
            told_keys = false;
            !is_something_unread(path)
        } else {
            !std::mem::replace(&mut told_keys, true)
        };
        // A line that isn't over is ended by the first.
        let times = if ends_with_line { 1 } else { 2 };
        if is_due && !write(master, &end[..times], stop) {
            return;
        }
        ends_with_line = true;
        let mut ready = [PollFd::new(stop, PollFlags::IN)];
        let timeout = Timespec::try_from(END_PAUSE).ok();
        if poll(&mut ready, timeout.as_ref()).is_err() || !ready[0].revents().is_empty() {
            return;
        }
    }
}

/// Returns whether something waits in the terminal to be read, an end of the input too.
fn is_something_unread(path: &Path) -> bool {
    let options = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // It fails once the terminal is gone, and then nobody reads.
    rustix::fs::open(path, options, Mode::empty()).map_or(true, |terminal| {
        let mut ready = [PollFd::new(&terminal, PollFlags::IN)];
        let now = Timespec::default();
        poll(&mut ready, Some(&now)).map_or(true, |count| count > 0)
    })
}
