//! Escape sequences of a terminal, which hide no word.

use std::borrow::Cow;

use super::is_word_character;

/// Takes escape sequences out. A word that one stands in the middle of is found whole, and by its parts: whether a
/// terminal shows them apart depends on the sequence.
pub(super) fn strip_escapes(text: &str) -> Cow<'_, str> {
    // Control sequences begin with ESC, or with one of the control characters from U+0080 on.
    if !text.contains(|character| matches!(character, '\x1b' | '\u{80}'..='\u{9f}')) {
        return Cow::Borrowed(text);
    }
    // The parser knows only the form that begins with ESC.
    let text: String = text
        .chars()
        .flat_map(|character| match character {
            '\u{80}'..='\u{9f}' => ['\x1b', char::from(character as u8 - 0x40)]
                .into_iter()
                .take(2),
            other => [other, other].into_iter().take(1),
        })
        .collect();
    let mut whole = String::with_capacity(text.len());
    // The word at the end of `whole`, in parts, where an escape sequence stood in it.
    let mut parts: Vec<String> = Vec::new();
    for piece in anstream::adapter::strip_str(&text) {
        let is_glued = whole.chars().next_back().is_some_and(is_word_character)
            && piece.chars().next().is_some_and(is_word_character);
        if is_glued {
            if parts.is_empty() {
                parts.push(last_word(&whole).to_owned());
            }
            parts.push(first_word(piece).to_owned());
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
            push_parts(&mut whole, &mut parts);
            whole.push_str(rest);
        } else {
            whole.push_str(piece);
        }
    }
    push_parts(&mut whole, &mut parts);
    Cow::Owned(whole)
}

fn push_parts(whole: &mut String, parts: &mut Vec<String>) {
    for part in parts.drain(..) {
        whole.push(' ');
        whole.push_str(&part);
    }
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
