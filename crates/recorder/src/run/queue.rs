//! The way from the pumps to the recorder: it holds so many lines and bytes, and lets the command wait above that.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::outlet::Onward;
use crate::lines::Line;

/// The most lines that wait for the recorder.
const WAITING_LINES: usize = 4096;
/// The most bytes that wait for the recorder or the store; a line that is longer waits until nothing else does. What waits
/// is lost where the recorder is killed, so it is no more than keeps the store at work.
const WAITING_BYTES: u32 = 8 * 1024 * 1024;
/// How many times its size a line takes of the room that isn't UTF-8: it is kept as text and as digits, of which only so much
/// may wait as one transaction takes.
const RAW_COPIES: usize = 2;
/// What a line takes in memory beside its own bytes, once it is an event.
pub(super) const EVENT_BYTES: usize = 1024;

/// A line on its way to the recorder.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) line: Line,
    pub(super) receipt: Receipt,
}

/// What is due for a line once it is kept. Dropped before that, the line is lost, and never passed on.
#[derive(Debug)]
pub(super) struct Receipt {
    /// Its room in the queue, which stays taken until it is kept, so that a command that is faster than the store waits.
    room: Option<OwnedSemaphorePermit>,
    onward: Option<Onward>,
}

impl Receipt {
    /// Gives the room back before the line is kept.
    pub(super) fn release_room(&mut self) {
        self.room = None;
    }

    /// Passes the line on, if it has waited for that, and gives its room back.
    pub(super) fn kept(self) {
        if let Some(onward) = self.onward {
            onward.pass(self.room);
        }
    }
}

/// The way to the recorder.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    lines: mpsc::Sender<Queued>,
    bytes: Arc<Semaphore>,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Queued>) {
        let (lines, receiver) = mpsc::channel(WAITING_LINES);
        let queue = Self {
            lines,
            bytes: room(),
        };
        (queue, receiver)
    }

    /// Returns the same way with room of its own: what one stream's reader leaves waiting takes none of the other's.
    pub(super) fn with_own_room(&self) -> Self {
        Self {
            lines: self.lines.clone(),
            bytes: room(),
        }
    }

    pub(super) async fn put(&self, line: Line, onward: Option<Onward>) {
        // What isn't text is kept as text and as digits too; what is passed on later, as a copy.
        let is_text = std::str::from_utf8(&line.bytes).is_ok_and(|text| !text.contains('\0'));
        let copies = if is_text { 1 } else { RAW_COPIES } + usize::from(onward.is_some());
        let bytes = copies * line.bytes.len() + EVENT_BYTES;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = bytes.min(WAITING_BYTES);
        // Neither is ever closed while a pump runs: the recorder takes lines to the end, also those that it can't keep.
        if let Ok(room) = Arc::clone(&self.bytes).acquire_many_owned(bytes).await {
            let room = Some(room);
            let receipt = Receipt { room, onward };
            let _ = self.lines.send(Queued { line, receipt }).await;
        }
    }
}

fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WAITING_BYTES as usize))
}
