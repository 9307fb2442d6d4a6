//! The words of events, as the store prepares them for the search.
//!
//! They are those of SQLite's full-text index: its tokenizer cuts the text, in memory. They are kept as a vector without places.

use std::fmt::Write;

use crate::error::StateStoreError;
use crate::repository::sqlite::recent::terms_of;

/// The most bytes of a word that a vector keeps; of a longer one it keeps the beginning. PostgreSQL allows 2,046
/// (<https://www.postgresql.org/docs/current/textsearch-limitations.html>).
pub(super) const WORD_BYTES: usize = 255;
/// The most bytes of a vector's words; PostgreSQL allows 1 MiB with what it keeps of each.
const VECTOR_BYTES: usize = 512 * 1024;

/// Returns the words of a text as they are stored, or `None` where they are too many.
pub(super) fn prepare_words(
    namespace: &str,
    text: &str,
) -> Result<Option<Vec<String>>, StateStoreError> {
    let mut words = match text.is_ascii() {
        true => ascii_words(text),
        false => terms_of(text)?,
    };
    words.iter_mut().for_each(shorten);
    words.push(namespace_word(namespace));
    words.sort_unstable();
    words.dedup();
    let bytes: usize = words.iter().map(|word| word.len() + 8).sum();
    Ok((bytes <= VECTOR_BYTES).then_some(words))
}

/// Returns the words of a text of ASCII, which the tokenizer cuts and writes the same way.
fn ascii_words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// The namespace as a word that no text has: the tokenizer cuts at the colon.
pub(super) fn namespace_word(namespace: &str) -> String {
    let mut word = String::from("in:");
    for byte in namespace.bytes() {
        // Writing to a String can't fail.
        let _ = write!(word, "{byte:02x}");
    }
    shorten(&mut word);
    word
}

pub(super) fn shorten(word: &mut String) {
    if word.len() > WORD_BYTES {
        let end = (0..=WORD_BYTES)
            .rev()
            .find(|end| word.is_char_boundary(*end));
        word.truncate(end.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{ascii_words, terms_of};

    proptest! {
        #[test]
        fn ascii_is_cut_as_the_tokenizer_cuts_it(text in "[ -~\t\r\n\x01\x1b]{0,60}") {
            let cut: BTreeSet<String> = ascii_words(&text).into_iter().collect();
            let tokenizer: BTreeSet<String> = terms_of(&text).unwrap().into_iter().collect();
            prop_assert_eq!(cut, tokenizer);
        }
    }
}
