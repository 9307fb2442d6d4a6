//! Where the command's bytes go on: at once, or only once the store has them.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::sleep;

use super::supervise::Stop;
use crate::lines::Line;

/// How long a reader that takes nothing is waited for, after the word to stop.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes above which what is kept goes on in several writes.
const WRITE_BYTES: usize = 256 * 1024;

/// How a stream is passed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether recording goes on where the reader is gone.
    pub(super) goes_on_unheard: bool,
    /// Whether lines that begin like objects are shown before they are over.
    pub(super) shows_json: bool,
    /// Whether a line is passed on only once it is kept, and not as its bytes come.
    pub(super) is_strict: bool,
}

impl Manner {
    /// Returns whether the reader is gone, and the command is to hear of that.
    pub(super) fn is_end(self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe && !self.goes_on_unheard
    }

    pub(super) fn trouble_of(self, error: &io::Error) -> String {
        if self.is_end(error) {
            "was closed by its reader, and so to the command".to_owned()
        } else {
            format!("is no longer passed on, only recorded: {error}")
        }
    }
}

/// Bytes that go on once their line is kept, and never if it is lost.
#[derive(Debug)]
pub(super) struct Onward {
    bytes: Vec<u8>,
    to: mpsc::UnboundedSender<Kept>,
}

impl Onward {
    /// Passes them on; the room that they take is free once they are written.
    pub(super) fn pass(self, room: Option<OwnedSemaphorePermit>) {
        // Where the run is being dropped, nobody listens.
        let _ = self.to.send((self.bytes, room));
    }
}

/// Bytes whose line is kept. Batches are written in the order of their lines, so these come in that order too.
type Kept = (Vec<u8>, Option<OwnedSemaphorePermit>);

/// What lines pass on, each once it is kept.
#[derive(Debug)]
pub(super) struct Shares {
    to: mpsc::UnboundedSender<Kept>,
    /// Bytes of the present line that went before it is over.
    ahead: usize,
}

impl Shares {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Kept>) {
        let (to, kept) = mpsc::unbounded_channel();
        (Self { to, ahead: 0 }, kept)
    }

    /// Returns what a line, or a part of one, is to pass on: put together, all of them are the stream's bytes.
    pub(super) fn of(&mut self, line: &Line) -> Onward {
        let mut bytes = if line.is_interim {
            self.ahead += line.bytes.len();
            line.bytes.clone()
        } else {
            let went = self.ahead.min(line.bytes.len());
            self.ahead -= went;
            line.bytes.get(went..).unwrap_or_default().to_vec()
        };
        if line.ends_with_newline() {
            bytes.push(b'\n');
        }
        let to = self.to.clone();
        Onward { bytes, to }
    }
}

/// What became of passing on.
#[derive(Debug)]
pub(super) struct Passed {
    /// Whether the last of what was passed on was the end of a line.
    pub(super) ends_with_line: bool,
    pub(super) error: Option<io::Error>,
}

/// Passes on what is kept, until all is kept or lost. After an error nothing more is passed on; `gone`
/// hears at once of a reader that is.
pub(super) async fn pass_kept(
    mut kept: mpsc::UnboundedReceiver<Kept>,
    mut to: impl AsyncWrite + Unpin,
    manner: Manner,
    gone: watch::Sender<bool>,
    mut stop: watch::Receiver<Stop>,
) -> Passed {
    let mut passed = Passed {
        ends_with_line: true,
        error: None,
    };
    let mut bytes = Vec::new();
    let mut rooms = Vec::new();
    while let Some(first) = kept.recv().await {
        let mut next = Some(first);
        while let Some((more, room)) = next {
            bytes.extend_from_slice(&more);
            rooms.push(room);
            next = match bytes.len() {
                ..WRITE_BYTES => kept.try_recv().ok(),
                _ => None,
            };
        }
        if passed.error.is_none() {
            if let Some(last) = bytes.last() {
                passed.ends_with_line = *last == b'\n';
            }
            passed.error = pass(&mut to, &bytes, &mut stop).await.err();
            if passed
                .error
                .as_ref()
                .is_some_and(|error| manner.is_end(error))
            {
                gone.send_replace(true);
            }
        }
        bytes.clear();
        rooms.clear();
    }
    passed
}

/// Writes all of it, unless a reader that takes nothing is no longer waited for.
///
/// # Errors
/// The writer's; `TimedOut` where it was given up.
pub(super) async fn pass(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    stop: &mut watch::Receiver<Stop>,
) -> io::Result<()> {
    let write = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    let given_up = async {
        if stop.wait_for(|stop| *stop == Stop::Passing).await.is_err() {
            std::future::pending::<()>().await;
        }
        sleep(LAST_PATIENCE).await;
    };
    tokio::select! {
        biased;
        written = write => written,
        () = given_up => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing"))
        }
    }
}
