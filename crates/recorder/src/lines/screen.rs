//! Whole screens, as editors and pagers draw them, among the lines of a terminal.

use super::cuts::{boundary, without_begun_escape};
use super::{Line, Stream};

/// The most bytes of one piece of a screen.
const PIECE_BYTES: usize = 64 * 1024;
/// The modes in which a program has the screen for itself, and gives it back as it was (xterm's control sequences,
/// "alternate screen buffer").
const ALTERNATE: [&[u8]; 3] = [b"1049", b"1047", b"47"];
/// The most bytes of a control sequence that is waited for.
const LONGEST: usize = 64;

/// Tells screens from lines.
#[derive(Debug, Default)]
pub(super) struct Screens {
    is_on: bool,
    /// The beginning of a control sequence.
    held: Vec<u8>,
    /// What has come of the present piece of a screen.
    screen: Vec<u8>,
    /// Pieces that are whole.
    pieces: u64,
}

/// A stretch of a terminal's output.
#[derive(Debug)]
pub(super) enum Cut {
    Lines(Vec<u8>),
    Screen(Line),
}

/// What follows an escape character.
enum Sequence {
    /// It turns the alternate screen on or off, and has so many bytes.
    Switch(bool, usize),
    Other,
    /// It isn't over yet.
    Begun,
}

impl Screens {
    pub(super) fn feed(&mut self, bytes: &[u8], read_at: i64) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for (is_screen, piece) in self.cut(bytes) {
            if is_screen {
                self.screen.extend_from_slice(&piece);
                self.emit(PIECE_BYTES, read_at, &mut cuts);
            } else {
                self.emit(1, read_at, &mut cuts);
                cuts.push(Cut::Lines(piece));
            }
        }
        if !self.is_on {
            self.emit(1, read_at, &mut cuts);
        }
        cuts
    }

    pub(super) fn has_more(&self) -> bool {
        !self.screen.is_empty()
    }

    pub(super) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// Returns what has come of the present piece.
    pub(super) fn take(&mut self, read_at: i64) -> Vec<Line> {
        let mut cuts = Vec::new();
        self.emit(1, read_at, &mut cuts);
        let screens = cuts.into_iter().filter_map(|cut| match cut {
            Cut::Screen(line) => Some(line),
            Cut::Lines(_) => None,
        });
        screens.collect()
    }

    /// Returns what is left when the stream ends.
    pub(super) fn finish(&mut self, read_at: i64) -> Vec<Cut> {
        let held = std::mem::take(&mut self.held);
        let mut cuts = Vec::new();
        if self.is_on {
            self.screen.extend_from_slice(&held);
        } else {
            cuts.push(Cut::Lines(held));
        }
        self.emit(1, read_at, &mut cuts);
        cuts
    }

    /// Hands out what has come of a screen while it has at least so many bytes.
    fn emit(&mut self, least: usize, read_at: i64, out: &mut Vec<Cut>) {
        while self.screen.len() >= least {
            let piece = self.screen.get(..boundary(&self.screen, PIECE_BYTES));
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
            let bytes = std::mem::replace(&mut self.screen, rest);
            self.pieces += 1;
            out.push(Cut::Screen(Line {
                stream: Stream::Screen,
                number: self.pieces,
                bytes,
                part: None,
                is_terminated: true,
                is_interim: false,
                frames: 0,
                read_at,
            }));
        }
    }

    /// Returns the bytes in pieces, and of each whether it is of a screen. The sequence that turns it on is, and so is the
    /// one that turns it off.
    fn cut(&mut self, bytes: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        let (mut begin, mut place) = (0, 0);
        while let Some(found) = find_escape(&held, place) {
            match sequence(held.get(found..).unwrap_or_default()) {
                Sequence::Begun => {
                    self.held = held.split_off(found);
                    break;
                }
                Sequence::Switch(is_on, length) if is_on != self.is_on => {
                    let cut = if is_on { found } else { found + length };
                    pieces.push((
                        self.is_on,
                        held.get(begin..cut).unwrap_or_default().to_vec(),
                    ));
                    self.is_on = is_on;
                    begin = cut;
                    place = found + length;
                }
                Sequence::Switch(..) | Sequence::Other => place = found + 1,
            }
        }
        pieces.push((self.is_on, held.split_off(begin.min(held.len()))));
        pieces.retain(|(_, piece)| !piece.is_empty());
        pieces
    }
}

fn find_escape(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter()
        .position(|byte| *byte == 0x1b)
        .map(|at| from + at)
}

fn sequence(bytes: &[u8]) -> Sequence {
    let body = match bytes {
        [0x1b] | [0x1b, b'['] => return Sequence::Begun,
        [0x1b, b'[', b'?', body @ ..] => body,
        _ => return Sequence::Other,
    };
    let is_parameter = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    let end = body
        .iter()
        .take(LONGEST)
        .position(|byte| !is_parameter(byte));
    let Some(end) = end else {
        return if body.len() < LONGEST {
            Sequence::Begun
        } else {
            Sequence::Other
        };
    };
    let (parameters, rest) = body.split_at(end);
    let is_alternate = parameters
        .split(|byte| *byte == b';')
        .any(|mode| ALTERNATE.contains(&mode));
    match rest.first() {
        Some(b'h') if is_alternate => Sequence::Switch(true, end + 4),
        Some(b'l') if is_alternate => Sequence::Switch(false, end + 4),
        _ => Sequence::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::Screens;

    fn cut(chunks: &[&[u8]]) -> Vec<(bool, String)> {
        let mut screens = Screens::default();
        let mut pieces: Vec<(bool, String)> = Vec::new();
        for chunk in chunks {
            for (is_screen, piece) in screens.cut(chunk) {
                let piece = String::from_utf8(piece).unwrap();
                match pieces.last_mut() {
                    Some(last) if last.0 == is_screen => last.1.push_str(&piece),
                    _ => pieces.push((is_screen, piece)),
                }
            }
        }
        if !screens.held.is_empty() {
            pieces.push((screens.is_on, String::from_utf8(screens.held).unwrap()));
        }
        pieces
    }

    #[test]
    fn a_screen_begins_and_ends_with_its_sequences_however_they_come() {
        let bytes = b"a\x1b[31mb\x1b[?1049hdrawn\x1b[2J\x1b[?25;47lback\x1b[?25l\x1b";
        let expected = [
            (false, "a\x1b[31mb"),
            (true, "\x1b[?1049hdrawn\x1b[2J\x1b[?25;47l"),
            (false, "back\x1b[?25l"),
        ];
        let mut expected = expected.map(|(is, text)| (is, text.to_owned())).to_vec();
        expected.push((false, "\x1b".to_owned()));
        assert_eq!(cut(&[bytes]), expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(cut(&single), expected);
    }

    #[test]
    fn a_sequence_without_end_is_not_waited_for() {
        let long = format!("\x1b[?{}", "1;".repeat(100));
        assert_eq!(cut(&[long.as_bytes()]), [(false, long)]);
        // On twice is on once.
        let twice = b"\x1b[?1049h\x1b[?1049hx";
        assert_eq!(cut(&[twice]).len(), 1);
    }
}
