//! Lines that are drawn again and again, such as a progress bar: each time from their beginning, after a CR.

/// Returns the last of a line's frames on which something can be seen, and how many such there are; `None` where it was
/// drawn once. A CR at the end belongs to the end of the line.
pub(crate) fn last_frame(line: &str) -> Option<(&str, u64)> {
    let drawn = line.strip_suffix('\r').unwrap_or(line);
    // One look for what is most seldom there.
    if !drawn.contains('\r') {
        return None;
    }
    let mut frames = drawn.split('\r').filter(|frame| !is_blank(frame));
    let first = frames.next()?;
    let (count, last) = frames.fold((1, first), |(count, _), frame| (count + 1, frame));
    (count > 1).then_some((last, count))
}

/// Bytes of such a line above which only its last frames are kept.
const KEPT_BYTES: usize = 64 * 1024;

/// What is known of the present line of a stream.
#[derive(Debug, Default)]
pub(super) struct Redrawn {
    /// It has a CR, and something behind it.
    is_redrawn: bool,
    ends_with_return: bool,
    /// Frames that are kept no more.
    dropped: u64,
    /// The length of the line at which the next are dropped.
    drop_at: usize,
    /// What was shown of it last, and whether more has come since.
    shown: Option<String>,
    has_more: bool,
}

impl Redrawn {
    /// Takes note of what was added to the line. Where it `may_drop`, a line that has become long loses its frames but the
    /// last two; returns whether it has.
    pub(super) fn note(&mut self, text: &[u8], line: &mut Vec<u8>, may_drop: bool) -> bool {
        let Some((last, before)) = text.split_last() else {
            return false;
        };
        self.is_redrawn |= self.ends_with_return || before.contains(&b'\r');
        self.ends_with_return = *last == b'\r';
        self.has_more = true;
        let is_long = line.len() > self.drop_at.max(KEPT_BYTES);
        if !self.is_redrawn || !is_long || !may_drop {
            return false;
        }
        // Of what is no text, every byte is kept.
        let kept = std::str::from_utf8(line).ok().map(|line| {
            let (before, present) = line.rsplit_once('\r').unwrap_or(("", line));
            let mut before = before.rsplit('\r').filter(|frame| !is_blank(frame));
            let seen = before.next().unwrap_or_default();
            (before.count(), [seen, present].join("\r"))
        });
        let has_dropped = kept.is_some();
        if let Some((dropped, kept)) = kept {
            self.dropped += dropped as u64;
            *line = kept.into_bytes();
        }
        self.drop_at = line.len() * 2;
        has_dropped
    }

    pub(super) fn is_redrawn(&self) -> bool {
        self.is_redrawn
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Returns the last frame of a line that is whole, or `is_quiet` and as good as that, unless it was returned last time.
    pub(super) fn next_frame(&mut self, line: &[u8], is_quiet: bool) -> Option<String> {
        self.has_more = false;
        let line = match std::str::from_utf8(line) {
            Ok(line) => line,
            // The last character is on its way.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(line.get(..error.valid_up_to())?).ok()?
            }
            Err(_) => return None,
        };
        let whole = match line.rsplit_once('\r') {
            Some((whole, _)) if !is_quiet => whole,
            _ => line,
        };
        let frame = whole.rsplit('\r').find(|frame| !is_blank(frame))?;
        if self.shown.as_deref() == Some(frame) {
            return None;
        }
        self.shown = Some(frame.to_owned());
        self.shown.clone()
    }
}

/// Returns whether nothing can be seen on it: it has white space and control sequences alone, such as one that clears the
/// line.
fn is_blank(frame: &str) -> bool {
    let mut characters = frame.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // A control sequence ends with a letter or the like (ECMA-48, section 5.4).
            if characters.next() == Some('[') {
                characters.find(|end| matches!(end, '\x40'..='\x7e'));
            }
        } else if !character.is_whitespace() && !character.is_control() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::last_frame;

    #[test]
    fn a_line_is_what_was_drawn_last() {
        for (line, expected) in [
            ("plain", None),
            ("ends as on Windows\r", None),
            ("\rdrawn once\r", None),
            ("drawn once\r\x1b[2K", None),
            ("10 %\r20 %", Some(("20 %", 2))),
            ("10 %\r\r20 %\r", Some(("20 %", 2))),
            ("\r10 %\r20 %\r\x1b[K", Some(("20 %", 2))),
            ("\x1b[1m10\x1b[0m\r中文\r\u{1b}[?25h \t", Some(("中文", 2))),
            ("\r\r", None),
            ("", None),
        ] {
            assert_eq!(last_frame(line), expected, "{line:?}");
        }
    }
}
