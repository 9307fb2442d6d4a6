//! Bytes that are no text, such as a picture, of which a large part of a text may consist.

/// What stands in a text for bytes that are none.
const WRONG: &[u8] = "\u{fffd}".as_bytes();
/// Bytes up to which every word counts, whatever stands between: a short line with some wrong bytes is still read.
const SHORT: usize = 4 * 1024;
/// Among so many characters of a text, fewer than one is noise.
const NOISE_IN: usize = 8;
/// Letters and digits in a row that make a stretch worth reading within noise: fewer stand there by chance.
const WORD: usize = 4;

/// Returns whether much of the text stands for bytes that are no text. Most of its "words" would then be such bytes too.
pub(super) fn is_noise(text: &str) -> bool {
    if text.len() <= SHORT {
        return false;
    }
    let bytes = text.as_bytes();
    let wrong = bytes
        .windows(WRONG.len())
        .filter(|three| *three == WRONG)
        .count();
    let is_no_text = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    let noise = || wrong + bytes.iter().filter(|byte| is_no_text(byte)).count();
    wrong > 0 && noise() * NOISE_IN > text.chars().count()
}

/// Hands out the stretches of text within noise that hold a word of some length, each with what parts it from the next.
pub(super) fn stretches<'t>(text: &'t str, mut found: impl FnMut(&'t str)) {
    let bytes = text.as_bytes();
    let (mut start, mut run, mut has_word) = (0, 0, false);
    for (place, byte) in bytes.iter().enumerate() {
        let is_end = *byte == WRONG[0]
            && bytes
                .get(place..)
                .is_some_and(|rest| rest.starts_with(WRONG));
        if is_end {
            if has_word {
                found(text.get(start..place).unwrap_or_default());
                found("\n");
            }
            (start, run, has_word) = (place + WRONG.len(), 0, false);
        } else if place >= start {
            let is_letter = byte.is_ascii_alphanumeric() || !byte.is_ascii();
            run = if is_letter { run + 1 } else { 0 };
            has_word |= run == WORD;
        }
    }
    if has_word {
        found(text.get(start..).unwrap_or_default());
    }
}
