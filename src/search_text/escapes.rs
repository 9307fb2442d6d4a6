//! Escape sequences of a terminal, which hide no word.

use std::borrow::Cow;

use super::is_word_character;

/// Takes escape sequences out. A word that one stands in the middle of is found whole, and by its parts: whether a
/// terminal shows them apart depends on the sequence.
pub(super) fn strip_escapes(text: &str) -> Cow<'_, str> {
    // Control sequences begin with ESC, or with one of the control characters from U+0080 on.
    let is_control = |character: char| matches!(character, '\u{80}'..='\u{9f}');
    let has_short_form = !text.is_ascii() && text.contains(is_control);
    if !has_short_form && !text.contains('\x1b') {
        return Cow::Borrowed(text);
    }
    // The parser knows only the form that begins with ESC.
    let text = if has_short_form {
        let mut long = String::with_capacity(text.len());
        for character in text.chars() {
            if is_control(character) {
                long.push('\x1b');
                long.push(char::from(character as u8 - 0x40));
            } else {
                long.push(character);
            }
        }
        Cow::Owned(long)
    } else {
        Cow::Borrowed(text)
    };
    let mut whole = String::with_capacity(text.len());
    // The word at the end of `whole`, in parts, each after a space, where an escape sequence stood in it.
    let mut parts = String::new();
    for piece in anstream::adapter::strip_str(&text) {
        let is_glued = whole.chars().next_back().is_some_and(is_word_character)
            && piece.chars().next().is_some_and(is_word_character);
        if is_glued {
            if parts.is_empty() {
                push_part(&mut parts, last_word(&whole));
            }
            push_part(&mut parts, first_word(piece));
        }
        let goes_on = is_glued && first_word(piece).len() == piece.len();
        if !parts.is_empty() && !goes_on {
            let rest = if is_glued {
                let (end, rest) = piece.split_at(first_word(piece).len());
                whole.push_str(end);
                rest
            } else {
                piece
            };
            whole.push_str(&parts);
            parts.clear();
            whole.push_str(rest);
        } else {
            whole.push_str(piece);
        }
    }
    whole.push_str(&parts);
    Cow::Owned(whole)
}

fn push_part(parts: &mut String, part: &str) {
    parts.push(' ');
    parts.push_str(part);
}

fn first_word(text: &str) -> &str {
    let end = text.find(|character| !is_word_character(character));
    &text[..end.unwrap_or(text.len())]
}

fn last_word(text: &str) -> &str {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, character)| is_word_character(*character))
        .last();
    start.map_or("", |(index, _)| &text[index..])
}
