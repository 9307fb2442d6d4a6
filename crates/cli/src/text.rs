//! Stored text on its way to people.

use std::fmt::Write as _;

use chrono::{DateTime, Local};

/// Returns the text in one line, with nothing in it that a terminal would obey: control characters, and those that change
/// the direction of writing, are escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if is_obeyed(character) => {
                // Writing to a String can't fail.
                let _ = write!(line, "\\u{{{:x}}}", u32::from(character));
            }
            _ => line.push(character),
        }
    }
    line
}

fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
        || ('\u{2028}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
}

/// Returns the first `most` characters, and a mark where there were more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Returns Unix seconds as a local time; the number itself where no calendar reaches.
pub(crate) fn local_time(seconds: i64) -> String {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => time
            .with_timezone(&Local)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string(),
        None => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, escaped, local_time};

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(
            escaped("a\u{1b}[31mb\n\r\t\0\u{7f}\u{9b}\u{202e}ü"),
            "a\\u{1b}[31mb\\n\\r\\t\\u{0}\\u{7f}\\u{9b}\\u{202e}ü"
        );
    }

    #[test]
    fn a_cut_text_shows_it() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü!", 3), "äöü…");
    }

    #[test]
    fn a_time_beyond_every_calendar_is_a_number() {
        assert_eq!(local_time(i64::MAX), i64::MAX.to_string());
    }
}
