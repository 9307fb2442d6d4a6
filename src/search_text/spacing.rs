//! Spaces between what is a word by itself.

use unicode_normalization::{UnicodeNormalization, is_nfkc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// How the tokenizer, and a person, read a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// A part of a longer word.
    Letter,
    /// A word by itself: a symbol, or a character of a script that puts no space between words.
    Single,
    /// Between words.
    Gap,
    /// Never a word, although the tokenizer takes it for one: lines and bars that programs draw.
    Drawing,
}

impl Reading {
    fn of(character: char) -> Self {
        if is_ideograph(character) {
            Self::Single
        } else if is_letter_of_an_alphabet(character) {
            Self::Letter
        } else {
            Self::by_tables(character)
        }
    }

    fn by_tables(character: char) -> Self {
        match character {
            // Combining accents belong to the letter before, for the tokenizer too.
            '\u{300}'..='\u{36f}' => Self::Letter,
            // Lines, blocks, braille.
            '\u{2500}'..='\u{259f}' | '\u{2800}'..='\u{28ff}' => Self::Drawing,
            // What stands for bytes that are no text: in a picture that would be every second word.
            char::REPLACEMENT_CHARACTER => Self::Drawing,
            _ if character.is_ascii_alphanumeric() => Self::Letter,
            _ if character.is_ascii() => Self::Gap,
            _ => match character.general_category() {
                GeneralCategory::OtherSymbol => Self::Single,
                category if !is_token(category) => Self::Gap,
                _ if writes_without_spaces(character.script()) => Self::Single,
                _ => Self::Letter,
            },
        }
    }
}

/// Returns whether the tokenizer, too, takes a character between words for one. Its tables are of Unicode 6.1, and what was
/// assigned later it takes for a letter: 500₽ would be one word.
fn is_known_gap(character: char) -> bool {
    character.is_ascii()
        || unicode_normalization::char::is_combining_mark(character)
        || matches!(
            character,
            '\u{80}'..='\u{bf}'
                | '×'
                | '÷'
                | '\u{2000}'..='\u{2064}'
                | '\u{20a0}'..='\u{20b9}'
                | '\u{2190}'..='\u{23f3}'
                | '\u{2e00}'..='\u{2e3b}'
                | '\u{3000}'..='\u{303f}'
                | '\u{fe10}'..='\u{fe6f}'
                | '\u{ff00}'..='\u{ff65}'
                | '\u{ffe0}'..='\u{ffef}'
        )
}

/// Returns whether the tokenizer takes it for a part of a word: its categories are `L* N* Co So` (migration 0008).
fn is_token(category: GeneralCategory) -> bool {
    use GeneralCategory as Category;
    matches!(
        category,
        Category::UppercaseLetter
            | Category::LowercaseLetter
            | Category::TitlecaseLetter
            | Category::ModifierLetter
            | Category::OtherLetter
            | Category::DecimalNumber
            | Category::LetterNumber
            | Category::OtherNumber
            | Category::PrivateUse
            | Category::OtherSymbol
    )
}

/// Returns whether words aren't parted by spaces in this script, or, as in Korean, carry their particles without one.
fn writes_without_spaces(script: Script) -> bool {
    matches!(
        script,
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Bopomofo
            | Script::Yi
            | Script::Nushu
            | Script::Tangut
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
            | Script::Tibetan
            | Script::Tai_Le
            | Script::New_Tai_Lue
            | Script::Tai_Tham
            | Script::Tai_Viet
            | Script::Javanese
            | Script::Balinese
    )
}

/// Letters that stand together and may have several spellings, in bytes: a longer run is read in parts.
const LONGEST_SPELLED: usize = 4 * 1024;

/// Puts spaces around what is a word by itself, and takes drawings out. Letters that have several spellings (composed,
/// of full or half width) get one. A text may come in pieces.
#[derive(Debug, Default)]
pub(super) struct Spacing {
    last: Option<Reading>,
}

impl Spacing {
    pub(super) fn of(&mut self, text: &str) -> String {
        let mut spaced = String::with_capacity(text.len() + text.len() / 8);
        let mut run = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            // Most of most texts, and it needs no table.
            let ascii = rest
                .bytes()
                .position(|byte| !byte.is_ascii())
                .unwrap_or(rest.len());
            let (plain, other) = rest.split_at(ascii);
            if !plain.is_empty() {
                self.push_run(&mut run, &mut spaced);
                self.push_ascii(plain, &mut spaced);
                rest = other;
                continue;
            }
            if character == char::REPLACEMENT_CHARACTER || is_ideograph(character) {
                self.push_run(&mut run, &mut spaced);
                self.push(character, &mut spaced);
            } else if character.is_alphanumeric()
                || unicode_normalization::char::is_combining_mark(character)
            {
                // Also a text of nothing but accents is held a part at a time.
                if run.len() > LONGEST_SPELLED {
                    self.push_run(&mut run, &mut spaced);
                }
                run.push(character);
            } else {
                self.push_run(&mut run, &mut spaced);
                self.push(character, &mut spaced);
            }
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
        self.push_run(&mut run, &mut spaced);
        spaced
    }

    fn push_run(&mut self, run: &mut String, spaced: &mut String) {
        if is_nfkc(run) {
            run.chars()
                .for_each(|character| self.push(character, spaced));
        } else {
            run.nfkc()
                .for_each(|character| self.push(character, spaced));
        }
        run.clear();
    }

    /// ASCII has letters and gaps, and nothing to be parted but from what stood before.
    fn push_ascii(&mut self, text: &str, spaced: &mut String) {
        let reading = |byte: u8| {
            if byte.is_ascii_alphanumeric() {
                Reading::Letter
            } else {
                Reading::Gap
            }
        };
        let first = text.bytes().next().map(reading);
        if self.last == Some(Reading::Single) && first == Some(Reading::Letter) {
            spaced.push(' ');
        }
        spaced.push_str(text);
        self.last = text.bytes().next_back().map(reading);
    }

    fn push(&mut self, character: char, spaced: &mut String) {
        let reading = Reading::of(character);
        if reading == Reading::Drawing {
            // One gap for the whole drawing.
            if self.last != Some(Reading::Drawing) {
                spaced.push(' ');
            }
        } else {
            let is_parted = matches!(
                (self.last, reading),
                (Some(Reading::Letter), Reading::Single)
                    | (Some(Reading::Single), Reading::Letter | Reading::Single)
            );
            if is_parted {
                spaced.push(' ');
            }
            let is_gap = reading == Reading::Gap && !is_known_gap(character);
            spaced.push(if is_gap { ' ' } else { character });
        }
        self.last = Some(reading);
    }
}

/// The commonest characters of Chinese: words by themselves, of one spelling, which need no table.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fa5}')
}

/// Letters of Latin, Greek, Cyrillic and Arabic alphabets that need no table.
fn is_letter_of_an_alphabet(character: char) -> bool {
    matches!(
        character,
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' | '\u{3a3}'..='\u{3ff}' | '\u{400}'..='\u{481}'
    ) && character != '\u{3f6}'
}

#[cfg(test)]
mod tests {
    use super::{Reading, is_ideograph, is_letter_of_an_alphabet};

    #[test]
    fn what_needs_no_table_reads_as_the_tables_say() {
        for character in '\0'..=char::MAX {
            let by_tables = Reading::by_tables(character);
            assert_eq!(Reading::of(character), by_tables, "{character:?}");
            assert!(!is_ideograph(character) || by_tables == Reading::Single);
            assert!(!is_letter_of_an_alphabet(character) || by_tables == Reading::Letter);
        }
    }
}
