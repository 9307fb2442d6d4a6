//! Bytes that are no text, such as a picture, of which a large part of a text may consist.

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
    let wrong = text.matches(char::REPLACEMENT_CHARACTER).count();
    let is_no_text = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    let noise = || {
        wrong
            + text
                .as_bytes()
                .iter()
                .filter(|byte| is_no_text(byte))
                .count()
    };
    wrong > 0 && noise() * NOISE_IN > text.chars().count()
}

/// Hands out the stretches of text within noise that hold a word of some length, each with what parts it from the next.
pub(super) fn stretches<'t>(text: &'t str, mut found: impl FnMut(&'t str)) {
    for stretch in text.split(char::REPLACEMENT_CHARACTER) {
        let mut run = 0;
        let has_word = stretch.len() >= WORD
            && stretch.bytes().any(|byte| {
                let is_letter = byte.is_ascii_alphanumeric() || !byte.is_ascii();
                run = if is_letter { run + 1 } else { 0 };
                run == WORD
            });
        if has_word {
            found(stretch);
            found("\n");
        }
    }
}
