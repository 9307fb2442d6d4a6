//! One stream, cut into lines.

use std::mem;

use super::cuts::{boundary, cut_character, without_begun_escape};
use super::{Line, Part, Stream};

/// Bytes by which the buffer of a long line grows.
const GROWTH: usize = 4 * 1024 * 1024;

/// Cuts one stream into lines, and lines above a limit into parts; holds at most one part.
#[derive(Debug)]
pub struct Splitter {
    stream: Stream,
    limit: usize,
    raw_limit: usize,
    buffer: Vec<u8>,
    /// Lines that are whole.
    lines: u64,
    /// Parts of the present line that are out.
    parts: u64,
    /// Bytes of the buffer that were shown before the line was over.
    shown: usize,
}

impl Splitter {
    /// Cuts this stream, and lines above `limit` bytes into parts.
    #[must_use]
    pub fn new(stream: Stream, limit: usize) -> Self {
        Self {
            stream,
            limit,
            raw_limit: limit,
            buffer: Vec::new(),
            lines: 0,
            parts: 0,
            shown: 0,
        }
    }

    /// Sets how many bytes a part has where the line isn't UTF-8 (as for any line).
    #[must_use]
    pub fn raw_limit(mut self, bytes: usize) -> Self {
        self.raw_limit = bytes;
        self
    }

    /// Returns how many lines came.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns the lines, and parts of lines, that these bytes complete; `read_at` is in Unix seconds.
    pub fn feed(&mut self, mut bytes: &[u8], read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
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
            bytes = rest;
            if length > room {
                let tail = cut_character(&mut self.buffer);
                self.emit(false, true, read_at, &mut lines);
                self.buffer = tail;
            } else if newline.is_some() {
                bytes = rest.get(1..).unwrap_or_default();
                self.emit(true, true, read_at, &mut lines);
            }
        }
        lines
    }

    /// Returns whether something of the present line has come that wasn't shown. A line that comes in parts is shown by them.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.parts == 0 && self.buffer.len() > self.shown
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
    pub fn interim(&mut self, read_at: i64) -> Option<Line> {
        let pending = self.buffer.get(self.shown..)?;
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
        let (length, most) = match std::str::from_utf8(pending) {
            Ok(_) => (pending.len(), pending.len()),
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
                (error.valid_up_to(), error.valid_up_to())
            }
            Err(_) => (pending.len(), self.raw_limit.max(1)),
        };
        let mut rest = pending.get(..length).unwrap_or_default();
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
            read_at,
        }
    }

    /// Returns what is left when the stream ends without a newline.
    pub fn finish(&mut self, read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.buffer.is_empty() || self.parts > 0 {
            self.emit(true, false, read_at, &mut lines);
        }
        lines
    }

    /// Hands the buffer out: as one part, or as several where it isn't UTF-8 and too long for that.
    fn emit(&mut self, is_end: bool, is_terminated: bool, read_at: i64, out: &mut Vec<Line>) {
        let mut bytes = mem::take(&mut self.buffer);
        if is_terminated && self.stream == Stream::Terminal {
            // There a line ends with CR LF (ONLCR, termios(3)).
            bytes.pop_if(|last| *last == b'\r');
        }
        // The beginning of a character that is cut off may have been shown.
        self.shown = self.shown.saturating_sub(bytes.len());
        let most = match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.len(),
            Err(_) => self.raw_limit.max(1),
        };
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
            read_at,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Splitter;
    use crate::lines::{Line, Part, Stream};

    const LONGEST_RAW: usize = 1000;

    fn split(limit: usize, chunks: &[&[u8]]) -> Vec<Line> {
        let mut splitter = Splitter::new(Stream::Stdout, limit).raw_limit(LONGEST_RAW);
        let mut lines = Vec::new();
        for chunk in chunks {
            lines.extend(splitter.feed(chunk, 0));
        }
        lines.extend(splitter.finish(0));
        lines
    }

    /// Number, text and, of a part, which one and whether it is the last.
    type Text = (u64, String, Option<(u64, bool)>);

    fn texts(lines: &[Line]) -> Vec<Text> {
        let part = |part: Part| (part.number, part.is_last);
        let text = |line: &Line| String::from_utf8_lossy(&line.bytes).into_owned();
        lines
            .iter()
            .map(|line| (line.number, text(line), line.part.map(part)))
            .collect()
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let bytes = "one\n\ntwo ü\r\nlast".as_bytes();
        let whole = split(1024, &[bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(split(1024, &single), whole);
        let expected = [(1, "one"), (2, ""), (3, "two ü\r"), (4, "last")];
        let expected = expected.map(|(number, text)| (number, text.to_owned(), None));
        assert_eq!(texts(&whole), expected);
        let terminated: Vec<bool> = whole.iter().map(|line| line.is_terminated).collect();
        assert_eq!(terminated, [true, true, true, false]);
    }

    #[test]
    fn a_long_line_comes_in_parts_between_characters_and_loses_nothing() {
        let lines = split(4, &["abcüdefg\nxy\n".as_bytes()]);
        let expected = [
            (1, "abc", Some((1, false))),
            (1, "üde", Some((2, false))),
            (1, "fg", Some((3, true))),
            (2, "xy", None),
        ];
        let expected = expected.map(|(number, text, part)| (number, text.to_owned(), part));
        assert_eq!(texts(&lines), expected);
    }

    #[test]
    fn what_has_come_of_a_line_is_shown_once_and_the_line_comes_whole() {
        let mut splitter = Splitter::new(Stream::Stdout, 1024);
        let mut show = |bytes: &[u8]| {
            let lines = splitter.feed(bytes, 0);
            let shown = splitter
                .interim(0)
                .map(|line| String::from_utf8(line.bytes).unwrap());
            (lines.len(), shown)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(show(b"Name: "), (0, text("Name: ")));
        assert_eq!(show(b""), (0, None));
        assert_eq!(show("J\u{f6}".as_bytes().split_at(2).0), (0, text("J")));
        assert_eq!(show("\u{f6}".as_bytes().split_at(1).1), (0, text("\u{f6}")));
        assert_eq!(show(b" is\x1b[3"), (0, text(" ")));
        assert_eq!(show(b"1m red"), (0, text("is\x1b[31m ")));
        assert_eq!(show(b"\nnext"), (1, text("next")));
        let lines = splitter.feed(b"!\n", 0);
        assert_eq!(lines[0].bytes, b"next!");
        assert!(!lines[0].is_interim && lines[0].part.is_none());
    }

    #[test]
    fn all_that_has_come_can_be_shown_whatever_bytes_they_are() {
        let mut splitter = Splitter::new(Stream::Stdout, 8).raw_limit(4);
        let mut show = |bytes: &[u8]| {
            let lines = splitter.feed(bytes, 0).len();
            let shown = splitter.unshown(0);
            assert!(shown.iter().all(|line| line.is_interim));
            let shown: Vec<Vec<u8>> = shown.into_iter().map(|line| line.bytes).collect();
            (lines, shown)
        };
        assert_eq!(show(b"Jo"), (0, vec![b"Jo".to_vec()]));
        assert_eq!(show(b""), (0, vec![]));
        assert_eq!(show(b"h\xc3"), (0, vec![b"h".to_vec()]), "half a character");
        assert_eq!(show(b""), (0, vec![b"\xc3".to_vec()]), "it stays one");
        assert_eq!(
            show(b"\xff23"),
            (0, vec![b"\xff23".to_vec()]),
            "not text, and so no longer than a part of such a line"
        );
        // What was shown counts from the parts on.
        assert_eq!(show(b"89"), (2, vec![b"9".to_vec()]));
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let lines = split(4, &[b"abcd", b"\nabcd"]);
        assert!(lines.iter().all(|line| line.part.is_none()), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_long_line_that_is_not_text_comes_in_parts_that_its_metadata_can_hold() {
        let mut bytes = vec![0xFF; LONGEST_RAW + 10];
        bytes.push(b'\n');
        let lines = split(usize::MAX, &[&bytes]);
        let lengths: Vec<usize> = lines.iter().map(|line| line.bytes.len()).collect();
        assert_eq!(lengths, [LONGEST_RAW, 10]);
        assert_eq!(lines.iter().filter_map(|line| line.part).count(), 2);
    }
}
