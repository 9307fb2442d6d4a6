//! One stream of the command: passed through as it comes, and cut into lines for the recorder.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use descartes_state::{Clock, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::lines::{Line, Splitter};

const CHUNK: usize = 64 * 1024;
/// The most lines that wait for the recorder.
const WAITING_LINES: usize = 4096;
/// The most bytes that wait for the recorder or the store; a line that is longer waits until nothing else does. What waits
/// is lost where the recorder is killed, so it is no more than keeps the store at work.
const WAITING_BYTES: u32 = 8 * 1024 * 1024;
/// How many times its size a line takes in memory that isn't UTF-8.
const RAW_COPIES: usize = 5;
/// What a line takes in memory beside its own bytes, once it is an event.
pub(super) const EVENT_BYTES: usize = 1024;

/// A line on its way to the recorder, with its room in the queue.
pub(super) type Queued = (Line, OwnedSemaphorePermit);

/// The way to the recorder. It holds so many lines and bytes, and lets the command wait above that.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    lines: mpsc::Sender<Queued>,
    bytes: Arc<Semaphore>,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Queued>) {
        let (lines, receiver) = mpsc::channel(WAITING_LINES);
        let bytes = Arc::new(Semaphore::new(WAITING_BYTES as usize));
        let queue = Self { lines, bytes };
        (queue, receiver)
    }

    async fn put(&self, line: Line) {
        // What isn't text is kept as text and as digits too.
        let copies = if std::str::from_utf8(&line.bytes).is_ok() {
            1
        } else {
            RAW_COPIES
        };
        let bytes = copies * line.bytes.len() + EVENT_BYTES;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = bytes.min(WAITING_BYTES);
        // Neither is ever closed while a pump runs: the recorder takes lines to the end, also those that it can't keep.
        if let Ok(room) = Arc::clone(&self.bytes).acquire_many_owned(bytes).await {
            let _ = self.lines.send((line, room)).await;
        }
    }
}

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
/// reader is gone, `from` is closed too, unless that goes on unheard. What is
/// in the pipe when it is to stop is taken still. Returns `from` too, where it has not ended.
pub(super) async fn pump<R: AsyncRead + Unpin>(
    from: R,
    mut to: impl AsyncWrite + Unpin,
    mut splitter: Splitter,
    queue: Queue,
    goes_on_unheard: bool,
    shows_json: bool,
    mut stop: watch::Receiver<bool>,
) -> (Pumped, Option<R>) {
    let mut buffer = vec![0; CHUNK];
    let mut trouble = None;
    let mut is_heard = true;
    let mut ends_with_line = true;
    let mut has_reader = true;
    let mut from = Some(from);
    let mut interim = Interim::new(shows_json);
    let mut last_bytes = 0;
    let mut has_ended = true;
    loop {
        if last_bytes > LAST_BYTES {
            has_ended = false;
            break;
        }
        let next = tokio::select! {
            biased;
            read = read(&mut from, &mut buffer) => Next::Read(read),
            () = interim.due(&splitter) => Next::Interim,
            _ = stop.wait_for(|stop| *stop) => Next::Stop,
        };
        let read = match next {
            Next::Read(read) => read,
            Next::Interim => {
                let shown = splitter.interim(SystemClock::default().now_seconds());
                interim.was_shown();
                if let Some(line) = shown {
                    queue.put(line).await;
                }
                continue;
            }
            Next::Stop => {
                has_ended = false;
                break;
            }
        };
        let chunk = match read {
            Ok(0) => break,
            Ok(length) => {
                if *stop.borrow() {
                    last_bytes += length;
                }
                buffer.get(..length).unwrap_or_default()
            }
            Err(error) => {
                trouble = Some(format!("could not be read to its end: {error}"));
                break;
            }
        };
        if is_heard {
            ends_with_line = chunk.last().is_none_or(|last| *last == b'\n');
            let passed = tokio::select! {
                biased;
                passed = pass(&mut to, chunk) => passed,
                _ = stop.wait_for(|stop| *stop) => Ok(()),
            };
            if let Err(error) = passed {
                is_heard = false;
                has_reader = error.kind() != io::ErrorKind::BrokenPipe || goes_on_unheard;
                trouble = Some(if has_reader {
                    format!("is no longer passed on, only recorded: {error}")
                } else {
                    "was closed by its reader, and so to the command".to_owned()
                });
            }
        }
        let lines = splitter.feed(chunk, SystemClock::default().now_seconds());
        interim.was_read(!lines.is_empty());
        for line in lines {
            queue.put(line).await;
        }
        if !has_reader {
            // The command gets what it would get without us: its pipe is closed.
            drop(from.take());
            break;
        }
    }
    for line in splitter.finish(SystemClock::default().now_seconds()) {
        queue.put(line).await;
    }
    let pumped = Pumped {
        lines: splitter.lines(),
        ends_with_line,
        trouble,
    };
    (pumped, from.filter(|_| !has_ended))
}

/// What a pump does next.
enum Next {
    Read(io::Result<usize>),
    /// A line that isn't over is to be shown as far as it has come.
    Interim,
    Stop,
}

/// When to show what has come of a line that isn't over: after a moment of quiet, and ever more seldom.
struct Interim {
    /// Whether lines that begin like objects are shown too.
    shows_json: bool,
    last_read: Instant,
    /// When it was last shown, and how long it has to wait from then.
    last_shown: Option<(Instant, Duration)>,
}

const QUIET: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(400);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Interim {
    fn new(shows_json: bool) -> Self {
        Self {
            shows_json,
            last_read: Instant::now(),
            last_shown: None,
        }
    }

    fn was_read(&mut self, has_ended_a_line: bool) {
        self.last_read = Instant::now();
        if has_ended_a_line {
            self.last_shown = None;
        }
    }

    fn was_shown(&mut self) {
        let pause = self
            .last_shown
            .map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        self.last_shown = Some((Instant::now(), pause));
    }

    async fn due(&self, splitter: &Splitter) {
        if !splitter.has_pending() || (!self.shows_json && splitter.begins_like_an_object()) {
            return std::future::pending().await;
        }
        let quiet = self.last_read + QUIET;
        let next = self
            .last_shown
            .map_or(quiet, |(at, pause)| quiet.max(at + pause));
        sleep_until(next).await;
    }
}

async fn read(from: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> io::Result<usize> {
    match from {
        Some(from) => from.read(buffer).await,
        None => Ok(0),
    }
}

async fn pass(to: &mut (impl AsyncWrite + Unpin), chunk: &[u8]) -> io::Result<()> {
    to.write_all(chunk).await?;
    to.flush().await
}
