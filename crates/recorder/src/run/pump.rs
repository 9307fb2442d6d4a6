//! One stream of the command: passed through, and cut into lines for the recorder.

use std::io;

use descartes_state::{Clock, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::watch;

use super::interim::Interim;
use super::outlet::{Manner, Shares, pass, pass_kept};
use super::queue::Queue;
use super::supervise::Stop;
use crate::lines::{Line, Splitter};

const CHUNK: usize = 64 * 1024;

/// What became of a stream.
#[derive(Debug)]
pub(super) struct Pumped {
    pub(super) lines: u64,
    /// Whether the last of what was passed on was the end of a line.
    pub(super) ends_with_line: bool,
    /// What went wrong, for a note.
    pub(super) trouble: Option<String>,
}

/// The most bytes that are read after the word to stop: what a pipe may hold, several times.
const LAST_BYTES: usize = 1024 * 1024;

/// Copies `from` to `to` until it ends or `stop` says so, and cuts it into lines. A `to` that fails is left alone; where its
/// reader is gone, `from` is closed too, unless that goes on unheard. What is in the pipe when it is to stop is taken still.
/// Returns `from` too, where it has not ended.
pub(super) async fn pump<R: AsyncRead + Unpin>(
    from: R,
    mut to: impl AsyncWrite + Unpin,
    splitter: Splitter,
    queue: Queue,
    manner: Manner,
    stop: watch::Receiver<Stop>,
) -> (Pumped, Option<R>) {
    let (shares, kept) = Shares::new();
    let intake = Intake {
        from: Some(from),
        splitter,
        queue: if manner.is_strict {
            queue.with_own_room()
        } else {
            queue.clone()
        },
        shares: manner.is_strict.then_some(shares),
        interim: Interim::new(manner.shows_json, manner.is_strict),
        manner,
        trouble: None,
        ends_with_line: true,
        stop: stop.clone(),
    };
    // The recorder is at its end when nobody holds the queue, and what is lost then is waited for below.
    drop(queue);
    let (gone, is_gone) = watch::channel(false);
    if !manner.is_strict {
        return intake.run(Some(&mut to), is_gone).await;
    }
    let ((mut pumped, from), passed) = tokio::join!(
        intake.run(None::<&mut tokio::io::Sink>, is_gone),
        pass_kept(kept, &mut to, manner, gone, stop)
    );
    pumped.ends_with_line = passed.ends_with_line;
    if let Some(error) = passed.error {
        let trouble = manner.trouble_of(&error);
        pumped.trouble.get_or_insert(trouble);
    }
    (pumped, from)
}

/// The reading side of a stream.
struct Intake<R> {
    /// `None` once the reader of this program's output is gone: the command gets what it would get without us.
    from: Option<R>,
    splitter: Splitter,
    queue: Queue,
    /// Where bytes are passed on only once they are kept.
    shares: Option<Shares>,
    interim: Interim,
    manner: Manner,
    trouble: Option<String>,
    ends_with_line: bool,
    stop: watch::Receiver<Stop>,
}

/// What comes next.
enum Next {
    Read(io::Result<usize>),
    /// A line that isn't over is to be shown as far as it has come.
    Interim,
    /// The reader of what was kept is gone.
    Unheard,
    Stop,
}

impl<R: AsyncRead + Unpin> Intake<R> {
    /// Reads to the end; bytes go to `to`, if there is one, as they come. `is_gone` says that
    /// their reader is, where others pass them on.
    async fn run(
        mut self,
        mut to: Option<&mut (impl AsyncWrite + Unpin)>,
        mut is_gone: watch::Receiver<bool>,
    ) -> (Pumped, Option<R>) {
        let mut buffer = vec![0; CHUNK];
        let mut last_bytes = 0;
        let mut has_ended = true;
        loop {
            if last_bytes > LAST_BYTES {
                has_ended = false;
                break;
            }
            let next = tokio::select! {
                biased;
                Ok(_) = is_gone.wait_for(|gone| *gone) => Next::Unheard,
                read = read(&mut self.from, &mut buffer) => Next::Read(read),
                () = self.interim.due(&self.splitter) => Next::Interim,
                _ = self.stop.wait_for(|stop| *stop != Stop::Nothing) => Next::Stop,
            };
            let chunk = match next {
                Next::Read(Ok(0)) => break,
                Next::Read(Ok(length)) => {
                    if *self.stop.borrow() != Stop::Nothing {
                        last_bytes += length;
                    }
                    buffer.get(..length).unwrap_or_default()
                }
                Next::Read(Err(error)) => {
                    self.trouble = Some(format!("could not be read to its end: {error}"));
                    break;
                }
                Next::Interim => {
                    self.show().await;
                    continue;
                }
                Next::Unheard => {
                    self.from = None;
                    break;
                }
                Next::Stop => {
                    has_ended = false;
                    break;
                }
            };
            // What is passed on has its place among what waits for the store before: no more than that is missing from it where
            // this process is killed.
            let lines = self.splitter.feed(chunk, now());
            self.interim
                .was_read(!lines.is_empty(), self.splitter.has_screen());
            for line in lines {
                self.put(line).await;
            }
            if let Some(open) = &mut to {
                self.ends_with_line = chunk.last().is_none_or(|last| *last == b'\n');
                if let Err(error) = pass(open, chunk, &mut self.stop).await {
                    self.trouble = Some(self.manner.trouble_of(&error));
                    to = None;
                    if self.manner.is_end(&error) {
                        self.from = None;
                    }
                }
            }
        }
        for line in self.splitter.finish(now()) {
            self.put(line).await;
        }
        let pumped = Pumped {
            lines: self.splitter.lines(),
            ends_with_line: self.ends_with_line,
            trouble: self.trouble,
        };
        (pumped, self.from.filter(|_| !has_ended))
    }

    async fn show(&mut self) {
        let is_quiet = self.interim.is_quiet();
        self.interim.was_shown();
        if self.splitter.has_screen() {
            for line in self.splitter.screen(now()) {
                self.put(line).await;
            }
            return;
        }
        if self.shares.is_none() {
            if let Some(line) = self.splitter.interim(is_quiet, now()) {
                self.put(line).await;
            }
            return;
        }
        for line in self.splitter.unshown(now()) {
            self.put(line).await;
        }
    }

    async fn put(&mut self, line: Line) {
        let onward = self.shares.as_mut().map(|shares| shares.of(&line));
        self.queue.put(line, onward).await;
    }
}

fn now() -> i64 {
    SystemClock::default().now_seconds()
}

async fn read(from: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> io::Result<usize> {
    match from {
        Some(from) => from.read(buffer).await,
        None => Ok(0),
    }
}
