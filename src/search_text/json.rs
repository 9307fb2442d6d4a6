//! The strings of JSON, decoded.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// How many beginnings of JSON that is none are tried in one text.
const FALSE_STARTS: usize = 16;

/// Hands out the text with the strings decoded of whatever JSON it holds, one a line; the rest stays as it is.
pub(super) fn decode_json(text: &str, levels: usize, decoded: &mut dyn FnMut(&str)) {
    if levels == 0 || !text.contains('\\') {
        return decoded(text);
    }
    let mut rest = text;
    let mut false_starts = 0;
    while let Some(start) = json_start(rest, rest.len() == text.len()) {
        let (before, json) = rest.split_at(start);
        decoded(before);
        let length = json_length(json);
        if length == 0 {
            false_starts += 1;
            // An opening bracket is one byte.
            decoded(&json[..1]);
            rest = &json[1..];
            if false_starts == FALSE_STARTS {
                break;
            }
        } else {
            decode_strings(&json[..length], levels, decoded);
            rest = &json[length..];
        }
    }
    decoded(rest);
}

/// Returns where JSON may begin: with a bracket, or where the whole text is one, with a string.
fn json_start(text: &str, is_whole: bool) -> Option<usize> {
    let blank = text.len() - text.trim_start().len();
    if is_whole && text[blank..].starts_with('"') {
        return Some(blank);
    }
    text.find(['{', '['])
}

/// Returns the bytes of the JSON value that a text begins with; 0 where it is none.
fn json_length(text: &str) -> usize {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => values.byte_offset(),
        _ => 0,
    }
}

/// Hands out valid JSON with its strings decoded, each in a line of its own.
fn decode_strings(json: &str, levels: usize, decoded: &mut dyn FnMut(&str)) {
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (before, literal) = rest.split_at(start);
        decoded(before);
        let length = literal_length(literal);
        let (literal, after) = literal.split_at(length);
        decoded("\n");
        match string_of(literal) {
            Some(text) => decode_json(&text, levels - 1, decoded),
            // Half of a surrogate pair, for one.
            None => decoded(literal),
        }
        decoded("\n");
        rest = after;
    }
    decoded(rest);
}

/// Decodes a string literal; one without escapes is borrowed. A NUL character, which parts words and not every database can keep,
/// is a space.
fn string_of(literal: &str) -> Option<Cow<'_, str>> {
    if literal.contains('\\') {
        let text = serde_json::from_str::<String>(literal).ok()?;
        return Some(Cow::Owned(text.replace('\0', " ")));
    }
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    Some(Cow::Borrowed(text))
}

/// Returns the bytes of the string literal that a text begins with.
fn literal_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}
