//! One stream, cut into lines.

use std::mem;

use super::cuts::{boundary, cut_character, without_begun_escape};
use super::frames::is_blank;
use super::screen::Screens;
use super::{Line, Part, Stream};

/// Bytes by which the buffer of a long line grows.
const GROWTH: usize = 4 * 1024 * 1024;

/// The most bytes of one piece of a screen.
const SCREEN_BYTES: usize = 64 * 1024;
/// Bytes of a line that is drawn again and again above which only its last frames are kept.
const FRAMES_BYTES: usize = 64 * 1024;

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
    redrawn: Redrawn,
    keeps_frames: bool,
    screens: Screens,
    /// What has come of the present piece of a screen.
    screen: Vec<u8>,
    /// Pieces of screens that are whole.
    pieces: u64,
}

/// What is known of the present line where it is drawn again and again.
#[derive(Debug, Default)]
struct Redrawn {
    /// It has a CR, and something behind it.
    is_redrawn: bool,
    ends_with_return: bool,
    /// Frames that are in the buffer no more.
    dropped: u64,
    /// The length of the buffer at which the next are dropped.
    drop_at: usize,
    /// What was shown of it last, and whether more has come since.
    shown: Option<String>,
    has_more: bool,
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
            redrawn: Redrawn::default(),
            keeps_frames: false,
            screens: Screens::default(),
            screen: Vec::new(),
            pieces: 0,
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

    /// Returns how many lines, and pieces of screens, came.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines + self.pieces
    }

    /// Returns the lines, and parts of lines, that these bytes complete; `read_at` is in Unix seconds.
    pub fn feed(&mut self, bytes: &[u8], read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.stream != Stream::Terminal {
            self.feed_lines(bytes, read_at, &mut lines);
            return lines;
        }
        for (is_screen, piece) in self.screens.cut(bytes) {
            if is_screen {
                self.screen.extend_from_slice(&piece);
                self.emit_screens(SCREEN_BYTES, read_at, &mut lines);
            } else {
                self.emit_screens(1, read_at, &mut lines);
                self.feed_lines(&piece, read_at, &mut lines);
            }
        }
        if !self.screens.is_on() {
            self.emit_screens(1, read_at, &mut lines);
        }
        lines
    }

    /// Returns whether something of a screen has come that isn't out.
    #[must_use]
    pub fn has_screen(&self) -> bool {
        !self.screen.is_empty()
    }

    /// Returns what has come of a screen.
    pub fn screen(&mut self, read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        self.emit_screens(1, read_at, &mut lines);
        lines
    }

    /// Hands out what has come of a screen while it has at least so many bytes.
    fn emit_screens(&mut self, least: usize, read_at: i64, out: &mut Vec<Line>) {
        let most = SCREEN_BYTES.min(self.raw_limit.max(1));
        while self.screen.len() >= least {
            let piece = self.screen.get(..boundary(&self.screen, most));
            let piece = piece.unwrap_or_default();
            let whole =
                std::str::from_utf8(piece).map_or(piece.len(), |text| match without_begun_escape(
                    text,
                )
                .len()
                {
                    0 => text.len(),
                    length => length,
                });
            let rest = self.screen.split_off(whole);
            let bytes = mem::replace(&mut self.screen, rest);
            self.pieces += 1;
            out.push(Line {
                stream: Stream::Screen,
                number: self.pieces,
                bytes,
                part: None,
                is_terminated: true,
                is_interim: false,
                frames: 0,
                read_at,
            });
        }
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
            self.note_frames(text);
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

    /// Takes note of what has come of the present line, and lets go of the frames of a long one.
    fn note_frames(&mut self, text: &[u8]) {
        let redrawn = &mut self.redrawn;
        let Some(last) = text.last() else {
            return;
        };
        let (_, before) = text.split_last().unwrap_or((last, &[]));
        redrawn.is_redrawn |= redrawn.ends_with_return || before.contains(&b'\r');
        redrawn.ends_with_return = *last == b'\r';
        redrawn.has_more = true;
        let is_long = self.buffer.len() > redrawn.drop_at.max(FRAMES_BYTES);
        if !redrawn.is_redrawn || !is_long || self.keeps_frames || self.parts > 0 {
            return;
        }
        // Of what is no text, every byte is kept.
        if let Ok(line) = std::str::from_utf8(&self.buffer) {
            let mut frames = line.rsplitn(2, '\r');
            let present = frames.next().unwrap_or_default();
            let mut before = frames.next().unwrap_or_default().rsplit('\r');
            let seen = before.by_ref().find(|frame| !is_blank(frame));
            redrawn.dropped += before.filter(|frame| !is_blank(frame)).count() as u64;
            self.buffer = [seen.unwrap_or_default(), present].join("\r").into_bytes();
            self.shown = 0;
        }
        redrawn.drop_at = self.buffer.len() * 2;
    }

    /// Returns whether the present line is drawn again and again.
    #[must_use]
    pub fn is_redrawn(&self) -> bool {
        self.redrawn.is_redrawn
    }

    /// Returns whether something of the present line has come that wasn't shown. A line that comes in parts is shown by them.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        let has_more = if self.redrawn.is_redrawn {
            self.redrawn.has_more
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
        if self.redrawn.is_redrawn {
            return self.frame(is_quiet, read_at);
        }
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

    fn frame(&mut self, is_quiet: bool, read_at: i64) -> Option<Line> {
        self.redrawn.has_more = false;
        let line = match std::str::from_utf8(&self.buffer) {
            Ok(line) => line,
            // The last character is on its way.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(self.buffer.get(..error.valid_up_to())?).ok()?
            }
            Err(_) => return None,
        };
        let whole = match line.rfind('\r') {
            Some(last) if !is_quiet => line.get(..last)?,
            _ => line,
        };
        let frame = whole.rsplit('\r').find(|frame| !is_blank(frame))?;
        if self.redrawn.shown.as_deref() == Some(frame) {
            return None;
        }
        let frame = frame.to_owned();
        let bytes = frame.clone().into_bytes();
        self.redrawn.shown = Some(frame);
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
            frames: 0,
            read_at,
        }
    }

    /// Returns what is left when the stream ends without a newline.
    pub fn finish(&mut self, read_at: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        let held = self.screens.finish();
        if self.screens.is_on() {
            self.screen.extend_from_slice(&held);
        } else {
            self.feed_lines(&held, read_at, &mut lines);
        }
        self.emit_screens(1, read_at, &mut lines);
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
            frames: self.redrawn.dropped,
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
                .interim(true, 0)
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
    fn a_line_that_is_drawn_again_is_shown_by_its_frames() {
        let mut splitter = Splitter::new(Stream::Stdout, 1024);
        let mut show = |bytes: &[u8], is_quiet| {
            assert!(splitter.feed(bytes, 0).is_empty());
            let shown = splitter.interim(is_quiet, 0);
            shown.map(|line| String::from_utf8(line.bytes).unwrap())
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(show(b"10%", true), text("10%"));
        assert_eq!(show(b"\r20%\r3", false), text("20%"));
        assert_eq!(show(b"", false), None, "it was shown");
        assert_eq!(
            show("0 % \u{f6}".as_bytes().split_at(5).0, true),
            text("30 % ")
        );
        assert_eq!(show(b"\xb6\r\x1b[K", true), text("30 % \u{f6}"));
        let lines = splitter.feed(b"\n", 0);
        let whole = "10%\r20%\r30 % \u{f6}\r\x1b[K";
        assert_eq!(lines[0].bytes, whole.as_bytes());
        assert!(!splitter.is_redrawn());
    }

    #[test]
    fn a_line_that_is_drawn_for_ever_takes_no_room() {
        let frame = |number: u32| format!("{number:>9} of many\r");
        for (keeps, most) in [(false, 200_000), (true, usize::MAX)] {
            let mut splitter = Splitter::new(Stream::Stdout, usize::MAX).keep_frames(keeps);
            let mut fed = 0;
            for number in 0..20_000 {
                fed += frame(number).len();
                assert!(splitter.feed(frame(number).as_bytes(), 0).is_empty());
                assert!(splitter.buffer.len() < most);
            }
            let lines = splitter.feed(b"done\n", 0);
            let text = String::from_utf8(lines[0].bytes.clone()).unwrap();
            let (last, frames) = crate::lines::last_frame(&text).unwrap();
            assert_eq!((last, lines[0].frames + frames), ("done", 20_001));
            assert!(!keeps || text.len() == fed + 4);
        }
    }

    #[test]
    fn what_is_no_text_keeps_every_byte_whatever_returns_it_has() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
        let lines = split(usize::MAX, &[&bytes]);
        let all: Vec<u8> = lines.into_iter().flat_map(|line| line.bytes).collect();
        assert_eq!(all, bytes);
    }

    #[test]
    fn a_terminals_screens_come_in_pieces_between_its_lines() {
        let mut splitter = Splitter::new(Stream::Terminal, 1024).raw_limit(1_000_000);
        let mut lines = splitter.feed(b"one\r\ntwo\x1b[?1049hdrawn", 0);
        assert!(splitter.has_screen());
        lines.extend(splitter.screen(0));
        assert!(!splitter.has_screen());
        lines.extend(splitter.feed(&[b'x'; 70_000], 0));
        lines.extend(splitter.feed(b"\x1b[?1049l three\r\n", 0));
        let kinds: Vec<(Stream, u64, usize)> = lines
            .iter()
            .map(|line| (line.stream, line.number, line.bytes.len()))
            .collect();
        let expected = [
            (Stream::Terminal, 1, 3),
            (Stream::Screen, 1, 13),
            (Stream::Screen, 2, 65_536),
            (Stream::Screen, 3, 70_000 - 65_536 + 8),
            (Stream::Terminal, 2, 9),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(lines[4].bytes, b"two three");
        assert_eq!(splitter.lines(), 5);
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
