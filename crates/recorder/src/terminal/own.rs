//! This program's own terminal: what it is like, and raw while the command has one.

use std::io::{self, Stdin};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

use super::is_foreground;

/// Standard input, where it is a terminal.
#[derive(Debug)]
pub(super) struct OwnTerminal {
    stdin: Stdin,
    is_terminal: bool,
    /// Whether standard output is a terminal too.
    is_shown: bool,
    raw: Mutex<Raw>,
}

#[derive(Debug)]
enum Raw {
    No,
    /// With the settings before.
    Yes(Box<Termios>),
    /// It stays as it is.
    Closed,
}

impl OwnTerminal {
    pub(super) fn new() -> Self {
        let stdin = io::stdin();
        Self {
            is_terminal: isatty(&stdin),
            is_shown: isatty(io::stdout()),
            stdin,
            raw: Mutex::new(Raw::No),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Raw> {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(super) fn is_raw(&self) -> bool {
        matches!(*self.lock(), Raw::Yes(_))
    }

    /// Returns its settings, where it is one and they are meant for this program: a shell edits its lines with others.
    pub(super) fn modes(&self) -> Option<Termios> {
        let is_ours = self.is_terminal && is_foreground(&self.stdin);
        is_ours.then(|| tcgetattr(&self.stdin).ok())?
    }

    /// Returns the size of whichever of the three standard streams is a terminal.
    pub(super) fn size() -> Winsize {
        let standard = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcgetwinsize(io::stdin())
            .or_else(|_| tcgetwinsize(io::stdout()))
            .or_else(|_| tcgetwinsize(io::stderr()))
            .unwrap_or(standard)
    }

    /// Returns whether reading is ours. It would stop a program in the background of its terminal; and where the output goes
    /// to another program, a pager for one, that may read the keys.
    pub(super) fn is_readable(&self) -> bool {
        !self.is_terminal || self.is_shown && is_foreground(&self.stdin)
    }

    /// Makes it raw, if it is a terminal, and its keys are ours.
    pub(super) fn enter(&self) {
        let mut raw = self.lock();
        if !matches!(*raw, Raw::No) || !self.is_terminal || !self.is_readable() {
            return;
        }
        let Ok(before) = tcgetattr(&self.stdin) else {
            return;
        };
        let mut modes = before.clone();
        modes.make_raw();
        if tcsetattr(&self.stdin, OptionalActions::Now, &modes).is_ok() {
            *raw = Raw::Yes(Box::new(before));
        }
    }

    /// Makes it what it was. In the background that is the shell's to do, and it has.
    pub(super) fn restore(&self) {
        let mut raw = self.lock();
        if let Raw::Yes(before) = &*raw {
            if is_foreground(&self.stdin) {
                // What has not been shown yet is.
                let _restored = tcsetattr(&self.stdin, OptionalActions::Drain, before);
            }
            *raw = Raw::No;
        }
    }

    /// Makes it what it was, for good.
    pub(super) fn close(&self) {
        self.restore();
        *self.lock() = Raw::Closed;
    }

    pub(super) fn as_fd(&self) -> impl AsFd + '_ {
        &self.stdin
    }
}
