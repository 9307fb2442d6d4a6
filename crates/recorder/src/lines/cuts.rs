//! Where bytes may be cut.

/// Cuts an escape sequence off the end that isn't over yet.
pub(super) fn without_begun_escape(text: &str) -> &str {
    let Some(start) = text.rfind('\x1b') else {
        return text;
    };
    let sequence = &text[start + 1..];
    let is_over = match sequence.chars().next() {
        // A control sequence ends with a letter or the like, an operating system command with BEL or ESC \.
        Some('[') => sequence[1..].contains(|end| matches!(end, '\x40'..='\x7e')),
        Some(']' | 'P' | '^' | '_') => sequence.contains('\x07'),
        Some('(' | ')' | '#' | '%') => sequence.len() > 1,
        Some(_) => true,
        None => false,
    };
    if is_over { text } else { &text[..start] }
}

/// Takes the beginning of a character that is cut in two off the end.
pub(super) fn cut_character(bytes: &mut Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.split_off(error.valid_up_to()),
        _ => Vec::new(),
    }
}

/// Returns the last place, not above `most`, that doesn't cut a character in two, as far as these bytes hold characters.
pub(super) fn boundary(bytes: &[u8], most: usize) -> usize {
    if bytes.len() <= most {
        return bytes.len();
    }
    let starts = |place: &usize| bytes.get(*place).is_some_and(|byte| byte & 0xC0 != 0x80);
    let near = most.saturating_sub(3).max(1)..=most;
    near.rev().find(starts).unwrap_or(most)
}
