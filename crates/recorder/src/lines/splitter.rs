//! One stream, cut into lines.

use std::mem;

use super::cuts::{boundary, cut_character, without_begun_escape};
use super::frames::Redrawn;
use super::screen::{Cut, Screens};
use super::{Line, Part, Stream};

/// Bytes by which the buffer of a long line grows.
const GROWTH: usize = 4 * 1024 * 1024;

/// Cuts one stream into lines, and lines above a limit into parts; holds at most one part.
#[derive(Debug)]
pub struct Splitter {
    stream: Stream,
    limit: usize,
    raw_limit: usize,
    is_nul_raw: bool,
    pub(super) buffer: Vec<u8>,
    /// Lines that are whole.
    lines: u64,
    /// Parts of the present line that are out.
    parts: u64,
    /// Bytes of the buffer that were shown before the line was over.
    shown: usize,
    redrawn: Redrawn,
    keeps_frames: bool,
    screens: Screens,
}

impl Splitter {
    /// Cuts this stream, and lines above `limit` bytes into parts.
    #[must_use]
    pub fn new(stream: Stream, limit: usize) -> Self {
        Self {
            stream,
            limit,
            raw_limit: limit,
            is_nul_raw: false,
            buffer: Vec::new(),
            lines: 0,
            parts: 0,
            shown: 0,
            redrawn: Redrawn::default(),
            keeps_frames: false,
            screens: Screens::default(),
        }
    }

    /// Sets whether a long line that is drawn again and again, a progress bar for one, keeps all its bytes (no: its last
    /// frames, once it is long).
    #[must_use]
    pub fn keep_frames(mut self, keeps: bool) -> Self {
        self.keeps_frames = keeps;
        self
    }

    /// Sets how many bytes a part has where the line isn't UTF-8 (as for any line).
    #[must_use]
    pub fn raw_limit(mut self, bytes: usize) -> Self {
        self.raw_limit = bytes;
        self
    }

    /// Sets whether a line with a NUL byte is as good as one that isn't UTF-8 (no).
    #[must_use]
    pub fn raw_nul(mut self, is_raw: bool) -> Self {
        self.is_nul_raw = is_raw;
        self
    }

    /// Returns how many bytes a part of these may have, which are text or not.
    fn most_of(&self, bytes: &[u8], is_text: bool) -> usize {
        let is_raw = !is_text || self.is_nul_raw && bytes.contains(&0);
        if is_raw {
            self.raw_limit.max(1)
        } else {
            bytes.len()
        }
    }

    /// Returns how many lines, and pieces of screens, came.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines + self.screens.pieces()
    }

    /// Returns the lines, and parts of lines, that these bytes complete; `read_at` is in Unix seconds.
    pub fn feed(&mut self, bytes: &[u8], read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.stream != Stream::Terminal {
            self.feed_lines(bytes, read_at, &mut lines);
            return lines;
        }
        for cut in self.screens.feed(bytes, read_at) {
            match cut {
                Cut::Screen(line) => lines.push(line),
                Cut::Lines(bytes) => self.feed_lines(&bytes, read_at, &mut lines),
            }
        }
        lines
    }

    /// Returns whether something of a screen has come that isn't out.
    #[must_use]
    pub fn has_screen(&self) -> bool {
        self.screens.has_more()
    }

    /// Returns what has come of a screen.
    pub fn screen(&mut self, read_at: i64) -> Vec<Line> {
        self.screens.take(read_at)
    }

    fn feed_lines(&mut self, mut bytes: &[u8], read_at: i64, lines: &mut Vec<Line>) {
        while !bytes.is_empty() {
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let length = newline.unwrap_or(bytes.len());
            let room = self.limit.saturating_sub(self.buffer.len());
            let (text, rest) = bytes.split_at(length.min(room));
            // In steps, not doubled: a line of 64 MiB would take twice its room.
            if self.buffer.capacity() > GROWTH {
                self.buffer.reserve_exact(text.len().max(GROWTH));
            }
            self.buffer.extend_from_slice(text);
            let may_drop = !self.keeps_frames && self.parts == 0;
            if self.redrawn.note(text, &mut self.buffer, may_drop) {
                self.shown = 0;
            }
            bytes = rest;
            if length > room {
                let tail = cut_character(&mut self.buffer);
                self.emit(false, true, read_at, lines);
                self.buffer = tail;
            } else if newline.is_some() {
                bytes = rest.get(1..).unwrap_or_default();
                self.emit(true, true, read_at, lines);
            }
        }
    }

    /// Returns whether the present line is drawn again and again.
    #[must_use]
    pub fn is_redrawn(&self) -> bool {
        self.redrawn.is_redrawn()
    }

    /// Returns whether something of the present line has come that wasn't shown. A line that comes in parts is shown by them.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        let has_more = if self.redrawn.is_redrawn() {
            self.redrawn.has_more()
        } else {
            self.buffer.len() > self.shown
        };
        self.parts == 0 && has_more
    }

    /// Returns whether something of the present line has come, or of its present part, that wasn't shown.
    #[must_use]
    pub fn has_unshown(&self) -> bool {
        self.buffer.len() > self.shown
    }

    /// Returns whether the present line may become a JSON object. One that comes in parts may not.
    #[must_use]
    pub fn begins_like_an_object(&self) -> bool {
        let text = self.buffer.trim_ascii_start();
        self.parts == 0 && text.first().is_some_and(|first| *first == b'{')
    }

    /// Returns what has come of the present line since the last time, as far as it can be shown: up to a whole character,
    /// outside an escape sequence, and after white space where there is some. The line comes whole, once it is over.
    /// Of one that is drawn again and again, the last frame that is whole, or `is_quiet` and as good as that.
    pub fn interim(&mut self, is_quiet: bool, read_at: i64) -> Option<Line> {
        if self.redrawn.is_redrawn() {
            let frame = self.redrawn.next_frame(&self.buffer, is_quiet)?;
            return Some(self.shown_line(frame.into_bytes(), read_at));
        }
        let pending = self.buffer.get(self.shown..)?;
        if self.is_nul_raw && pending.contains(&0) {
            return None;
        }
        let text = match std::str::from_utf8(pending) {
            Ok(text) => text,
            // The last character is on its way; other bytes are no text to be shown.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(pending.get(..error.valid_up_to())?).ok()?
            }
            Err(_) => return None,
        };
        let text = without_begun_escape(text);
        let end = text.rfind(char::is_whitespace).map(|space| {
            let width = text[space..].chars().next().map_or(0, char::len_utf8);
            space + width
        });
        let text = &text[..end.unwrap_or(text.len())];
        if text.is_empty() {
            return None;
        }
        let bytes = text.as_bytes().to_vec();
        self.shown += bytes.len();
        Some(self.shown_line(bytes, read_at))
    }

    /// Returns all that has come of the present line since the last time, whatever bytes they are. Only the beginning of a
    /// character waits for its end, once.
    pub fn unshown(&mut self, read_at: i64) -> Vec<Line> {
        let pending = self.buffer.get(self.shown..).unwrap_or_default();
        let (length, is_text) = match std::str::from_utf8(pending) {
            Ok(_) => (pending.len(), true),
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
                (error.valid_up_to(), true)
            }
            Err(_) => (pending.len(), false),
        };
        let mut rest = pending.get(..length).unwrap_or_default();
        let most = self.most_of(rest, is_text);
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let (bytes, after) = rest.split_at(boundary(rest, most));
            rest = after;
            lines.push(self.shown_line(bytes.to_vec(), read_at));
        }
        self.shown += length;
        lines
    }

    fn shown_line(&self, bytes: Vec<u8>, read_at: i64) -> Line {
        Line {
            stream: self.stream,
            number: self.lines + 1,
            bytes,
            part: None,
            is_terminated: false,
            is_interim: true,
            frames: 0,
            read_at,
        }
    }

    /// Returns what is left when the stream ends without a newline.
    pub fn finish(&mut self, read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        for cut in self.screens.finish(read_at) {
            match cut {
                Cut::Screen(line) => lines.push(line),
                Cut::Lines(bytes) => self.feed_lines(&bytes, read_at, &mut lines),
            }
        }
        if !self.buffer.is_empty() || self.parts > 0 {
            self.emit(true, false, read_at, &mut lines);
        }
        lines
    }

    /// Hands the buffer out: as one part, or as several where it isn't UTF-8 and too long for that.
    fn emit(&mut self, is_end: bool, is_terminated: bool, read_at: i64, out: &mut Vec<Line>) {
        let mut bytes = mem::take(&mut self.buffer);
        if is_end && is_terminated && self.stream == Stream::Terminal {
            // There a line ends with CR LF (ONLCR, termios(3)).
            bytes.pop_if(|last| *last == b'\r');
        }
        // The beginning of a character that is cut off may have been shown.
        self.shown = self.shown.saturating_sub(bytes.len());
        let most = self.most_of(&bytes, std::str::from_utf8(&bytes).is_ok());
        if bytes.len() <= most {
            self.push(bytes, is_end, is_terminated, read_at, out);
        } else {
            // Each part is a copy of its own: one cut off the whole would keep all the room of it.
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (part, after) = rest.split_at(boundary(rest, most));
                rest = after;
                let is_last = is_end && rest.is_empty();
                self.push(part.to_vec(), is_last, is_terminated, read_at, out);
            }
        }
        if is_end {
            self.lines += 1;
            self.parts = 0;
            self.redrawn = Redrawn::default();
        }
    }
}

impl Splitter {
    fn push(
        &mut self,
        bytes: Vec<u8>,
        is_last: bool,
        is_terminated: bool,
        read_at: i64,
        out: &mut Vec<Line>,
    ) {
        let part = (self.parts > 0 || !is_last).then_some(Part {
            number: self.parts + 1,
            is_last,
        });
        self.parts += 1;
        out.push(Line {
            stream: self.stream,
            number: self.lines + 1,
            bytes,
            part,
            is_terminated: is_terminated || !is_last,
            is_interim: false,
            frames: self.redrawn.dropped(),
            read_at,
        });
    }
}
