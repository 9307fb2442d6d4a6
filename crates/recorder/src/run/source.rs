//! The reading end of what the command prints.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{ChildStderr, ChildStdout};

#[cfg(unix)]
use crate::terminal::Screen;

/// One of the command's streams.
#[derive(Debug)]
pub(super) enum Source {
    Stdout(ChildStdout),
    Stderr(ChildStderr),
    #[cfg(unix)]
    Terminal(Screen),
}

#[cfg(unix)]
impl Source {
    pub(super) fn into_owned_fd(self) -> io::Result<std::os::fd::OwnedFd> {
        match self {
            Self::Stdout(pipe) => pipe.into_owned_fd(),
            Self::Stderr(pipe) => pipe.into_owned_fd(),
            Self::Terminal(screen) => screen.into_owned_fd(),
        }
    }
}

impl AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Stdout(pipe) => Pin::new(pipe).poll_read(context, buffer),
            Self::Stderr(pipe) => Pin::new(pipe).poll_read(context, buffer),
            #[cfg(unix)]
            Self::Terminal(screen) => Pin::new(screen).poll_read(context, buffer),
        }
    }
}
