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

/// Returns whether nothing can be seen on it: it has white space and control sequences alone, such as one that clears the
/// line.
pub(super) fn is_blank(frame: &str) -> bool {
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
