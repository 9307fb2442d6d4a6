//! A text's words, found a piece at a time.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::mem;

use super::data::without_data;
use super::escapes::strip_escapes;
use super::spacing::Spacing;

/// Bytes of a piece: a line of 64 MiB isn't to be held once more for each step.
const PIECE: usize = 64 * 1024;

/// Bytes of words above which no further ones are indexed: at about 20 MB a second, those of a line of 64 MiB would hold
/// everybody up who writes, and its row would be there twice in memory.
pub(super) const MOST: usize = 16 * 1024 * 1024;

/// Different words of one content above which no further ones are indexed: FTS5 holds each in memory, with some 150 bytes,
/// until the row is written.
const MOST_DIFFERENT: usize = 400_000;

/// Bytes of a text below which it can't have so many.
pub(super) const FEW: usize = 1024 * 1024;

/// Collects the words of a text, and holds them only where they differ from the text.
pub(super) struct Words<'t> {
    text: &'t str,
    /// Bytes of the text that are as they are to be indexed.
    same: usize,
    /// What is to be indexed instead, from the first difference on.
    found: Option<String>,
    pending: String,
    spacing: Spacing,
    /// Hashes of the words of a long text.
    different: HashSet<u64>,
    hasher: RandomState,
    /// Whether the last piece was the beginning of one word, longer than any that is searched for or indexed.
    is_within_word: bool,
}

impl<'t> Words<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self {
            text,
            same: 0,
            found: None,
            pending: String::new(),
            spacing: Spacing::default(),
            different: HashSet::new(),
            hasher: RandomState::new(),
            is_within_word: false,
        }
    }

    /// Takes what is to be read next.
    pub(super) fn push(&mut self, mut text: &str) {
        while self.pending.len() + text.len() > PIECE && !self.is_full() {
            let room = PIECE.saturating_sub(self.pending.len());
            let (now, later) = text.split_at(start_of_character(text, room));
            self.pending.push_str(now);
            text = later;
            let rest = self.pending.split_off(end_of_piece(&self.pending));
            let piece = mem::replace(&mut self.pending, rest);
            self.read(&piece);
        }
        if !self.is_full() {
            self.pending.push_str(text);
        }
    }

    fn is_full(&self) -> bool {
        let bytes = self.found.as_ref().map_or(self.same, String::len);
        bytes >= MOST || self.different.len() >= MOST_DIFFERENT
    }

    /// Returns the words; `None` where they are the text.
    pub(super) fn finish(mut self) -> Option<String> {
        if !self.is_full() {
            let last = mem::take(&mut self.pending);
            self.read(&last);
        }
        if self.found.is_none() && self.same < self.text.len() {
            return self.text.get(..self.same).map(str::to_owned);
        }
        self.found
    }

    /// Leaves out what can't be found: the index takes the first 32 KiB of a word, and would hold all of it to do so.
    fn without_rest_of_word<'w>(&mut self, words: &'w str) -> &'w str {
        let end = words.find(|character| !is_letter(character));
        let word = end.unwrap_or(words.len());
        let goes_on = self.is_within_word;
        self.is_within_word = end.is_none() && (goes_on || word > PIECE / 2);
        words
            .get(if goes_on { word } else { 0 }..)
            .unwrap_or_default()
    }

    fn read(&mut self, piece: &str) {
        if self.is_within_word && piece.chars().all(is_letter) {
            return;
        }
        let words = without_data(&self.spacing.of(&strip_escapes(piece)));
        let words = self.without_rest_of_word(&words);
        if self.text.len() > FEW {
            let words = words.split(|character| !is_letter(character));
            let hashes = words.map(|word| self.hasher.hash_one(word));
            self.different.extend(hashes);
        }
        let expected = self.text.get(self.same..).unwrap_or_default();
        match &mut self.found {
            Some(found) => found.push_str(words),
            None if expected.starts_with(words) => self.same += words.len(),
            None => {
                let same = self.text.get(..self.same).unwrap_or_default();
                self.found = Some([same, words].concat());
            }
        }
    }
}

fn is_letter(character: char) -> bool {
    character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character)
}

/// Returns where a piece may end: after a line, before an escape sequence, after a blank, or before the last letter, which
/// may have accents that are still to come.
fn end_of_piece(text: &str) -> usize {
    let middle = start_of_character(text, text.len() / 2);
    let half = text.get(middle..).unwrap_or_default();
    let end = half
        .rfind(['\n', '\r'])
        .map(|line_end| line_end + 1)
        .or_else(|| half.rfind('\x1b'))
        .or_else(|| half.rfind(' ').map(|blank| blank + 1))
        .or_else(|| {
            let last = |character| !unicode_normalization::char::is_combining_mark(character);
            half.rfind(last)
        });
    match end {
        Some(end) if middle + end > 0 => middle + end,
        _ => text.len(),
    }
}

/// Returns the last place, not above this one, where a character begins.
fn start_of_character(text: &str, mut place: usize) -> usize {
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}
