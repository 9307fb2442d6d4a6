//! Data between the words, such as a picture in base64, which nobody searches for.

/// Bytes above which a stretch without a space may be data, such as a picture in base64.
pub(super) const LONGEST_RUN: usize = 256;
/// The average length of the parts of such a stretch, between `/`, `-`, `_` and `+`: a path's are shorter, those of random
/// base64 are 21 to 32 bytes long.
const LONGEST_PART: usize = 16;
/// Returns whether a byte may be one of base64.
pub(super) fn is_data(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Returns whether small letters, capitals and digits change places as they do in data: in base64 at two bytes of three, in
/// hexadecimal at every other, in words and names at few.
fn is_mixed(bytes: &[u8]) -> bool {
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let changes = bytes
        .windows(2)
        .filter(|pair| class(pair[0]) != class(pair[1]))
        .count();
    changes > bytes.len() / 3
}

/// Leaves long stretches of base64 out: nobody searches for a part of one, and each would be a word of its own.
pub(super) fn without_data(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.bytes().take_while(|byte| is_data(*byte)).count();
        let parts = 1 + rest[..run]
            .bytes()
            .filter(|byte| !byte.is_ascii_alphanumeric())
            .count();
        let is_left_out =
            run > LONGEST_RUN && run / parts > LONGEST_PART && is_mixed(&rest.as_bytes()[..run]);
        kept.push_str(if is_left_out { " " } else { &rest[..run] });
        let after = &rest[run..];
        let gap = after.bytes().position(is_data).unwrap_or(after.len());
        kept.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    kept
}
