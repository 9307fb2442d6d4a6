//! A terminal for the command, beside the one that this program may run in.
//!
//! The command's terminal is a pair: what is written to the master is typed there, and what the command prints is read from
//! it. Its session is led by this program, run again (`leader.rs`), since the leader's end hangs the terminal up on everybody
//! in the foreground: it outlives the command, and puts itself into the foreground before it ends, so that what the command
//! leaves in the background goes on. This program's own terminal, where there is one, is made raw meanwhile (`own.rs`): each
//! key, ctrl-c too, means what the command's terminal makes of it.

pub(crate) mod leader;
mod own;
pub(crate) mod reports;
mod typing;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::thread;

use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr, tcsetwinsize};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;

use own::OwnTerminal;

/// The command's terminal, for as long as something is typed into it. Dropping it restores this program's own.
#[derive(Debug)]
pub(crate) struct Terminal {
    path: PathBuf,
    own: Arc<OwnTerminal>,
    /// It ends with the reader of what the command prints: nobody else keeps it open.
    master: Weak<OwnedFd>,
    /// Dropped, it ends the typing.
    typing: Option<OwnedFd>,
    resizing: AbortHandle,
}

impl Terminal {
    /// Makes a terminal of the size and with the settings of this program's own, if it has one. Must run inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn open() -> io::Result<(Self, Screen)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(OsStr::from_bytes(path.to_bytes()));
        let own = Arc::new(OwnTerminal::new());
        tcsetwinsize(&master, OwnTerminal::size())?;
        // Both ends have the same settings.
        let mut modes = own.modes().map_or_else(|| tcgetattr(&master), Ok)?;
        if !own.is_terminal() {
            // Nobody types: what is piped in is not to be seen again in the output.
            modes.local_modes -= LocalModes::ECHO;
        }
        tcsetattr(&master, OptionalActions::Now, &modes)?;
        rustix::io::ioctl_fionbio(&master, true)?;

        let reading = rustix::io::fcntl_dupfd_cloexec(&master, 0)?;
        let master = Arc::new(master);
        let resizing = tokio::spawn(resize(
            signal(SignalKind::window_change())?,
            Arc::downgrade(&master),
        ));
        let terminal = Self {
            path,
            own: Arc::clone(&own),
            master: Arc::downgrade(&master),
            typing: None,
            resizing: resizing.abort_handle(),
        };
        // Before the command prints: what its terminal makes of that is to be made nothing else of.
        terminal.own.enter();
        let screen = Screen {
            // It is no pipe, but as good as one to whoever waits for bytes.
            from: pipe::Receiver::from_owned_fd_unchecked(reading)?,
            _master: master,
        };
        Ok((terminal, screen))
    }

    /// Begins to pass on what is typed, once somebody has the terminal open: a terminal that was open and is no more looks hung
    /// up.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn begin_typing(&mut self) -> io::Result<()> {
        let (stop, typing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (own, master, path) = (
            Arc::clone(&self.own),
            self.master.clone(),
            self.path.clone(),
        );
        thread::Builder::new()
            .name("typing".into())
            .spawn(move || typing::pass_on(&own, &master, &path, &stop))?;
        self.typing = Some(typing);
        Ok(())
    }

    /// Returns the path under which processes open it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether a person types here, who can wake this program once it has stopped.
    pub(crate) fn is_interactive(&self) -> bool {
        self.own.is_raw()
    }

    /// Gives this program's own terminal back, until the work [resumes](Self::resume).
    pub(crate) fn suspend(&self) {
        self.own.restore();
    }

    pub(crate) fn resume(&self) {
        self.own.enter();
        if let Some(master) = self.master.upgrade() {
            let _resized = tcsetwinsize(&*master, OwnTerminal::size());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.resizing.abort();
        drop(self.typing.take());
        self.own.close();
    }
}

async fn resize(mut changes: tokio::signal::unix::Signal, master: Weak<OwnedFd>) {
    while changes.recv().await.is_some() {
        let Some(master) = master.upgrade() else {
            return;
        };
        // It fails only where the terminal is gone.
        let _resized = tcsetwinsize(&*master, OwnTerminal::size());
    }
}

/// What the command prints on its terminal. The terminal is hung up when this is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    from: pipe::Receiver,
    _master: Arc<OwnedFd>,
}

impl Screen {
    /// Returns a handle that keeps the terminal open.
    pub(crate) fn into_owned_fd(self) -> io::Result<OwnedFd> {
        self.from.into_blocking_fd()
    }
}

impl AsyncRead for Screen {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.get_mut().from).poll_read(context, buffer) {
            // So the end looks: nobody has the terminal open any more (pty(7)).
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

/// Returns whether this program is in the foreground of a terminal: others that read from it are stopped.
fn is_foreground(terminal: impl AsFd) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}
