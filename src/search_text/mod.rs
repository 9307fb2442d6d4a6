//! The words of a text, in the form in which the full-text index finds them.
//!
//! FTS5's tokenizer takes a stretch of letters and digits for a word. In a terminal's output the letters of an escape
//! sequence stand beside the words, in JSON those of `\n`; Chinese, Japanese, Korean or Thai put no space between theirs.
//! What is indexed and what is searched for both pass through here.

mod data;
mod escapes;
mod json;

use unicode_normalization::{UnicodeNormalization, is_nfkc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use data::{LONGEST_RUN, is_data, without_data};
use escapes::strip_escapes;
use json::decode_json;

/// How deep JSON within a string of JSON is read.
const NESTED_JSON: usize = 4;
/// Returns the words of a text; `None` where the text itself serves.
pub(crate) fn searchable(text: &str) -> Option<String> {
    if is_plain(text) {
        return None;
    }
    let words = decode_json(text, NESTED_JSON);
    let words = strip_escapes(&words);
    let words = without_data(&spaced(&words));
    (words != text).then_some(words)
}

/// Returns whether the tokenizer takes the character for a part of a word.
pub(crate) fn is_word_character(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || !character.is_ascii()
            && character != char::REPLACEMENT_CHARACTER
            && (character.is_alphanumeric() || is_symbol(character))
}

/// One look at each byte, which is all that plain English costs.
fn is_plain(text: &str) -> bool {
    let mut run = 0;
    text.bytes().all(|byte| {
        run = if is_data(byte) { run + 1 } else { 0 };
        byte.is_ascii() && byte != b'\x1b' && byte != b'\\' && run <= LONGEST_RUN
    })
}

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
        match character {
            // Combining accents belong to the letter before, for the tokenizer too.
            '\u{300}'..='\u{36f}' => Self::Letter,
            // Lines, blocks, braille.
            '\u{2500}'..='\u{259f}' | '\u{2800}'..='\u{28ff}' => Self::Drawing,
            // What stands for bytes that are no text: in a picture that would be every second word.
            char::REPLACEMENT_CHARACTER => Self::Drawing,
            _ if character.is_ascii_alphanumeric() => Self::Letter,
            _ if character.is_ascii() => Self::Gap,
            _ if is_symbol(character) => Self::Single,
            _ if !is_token(character) => Self::Gap,
            _ if writes_without_spaces(character.script()) => Self::Single,
            _ => Self::Letter,
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

fn is_symbol(character: char) -> bool {
    !character.is_ascii() && character.general_category() == GeneralCategory::OtherSymbol
}

/// Returns whether the tokenizer takes it for a part of a word: its categories are `L* N* Co So` (migration 0008).
fn is_token(character: char) -> bool {
    use GeneralCategory as Category;
    matches!(
        character.general_category(),
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

/// Puts spaces around what is a word by itself, and takes drawings out. Letters that have several spellings (composed,
/// of full or half width) get one.
fn spaced(text: &str) -> String {
    let mut words = Words::default();
    let mut run = String::new();
    for character in text.chars() {
        // The most common two need no table.
        let is_known = character.is_ascii() || character == char::REPLACEMENT_CHARACTER;
        if !is_known
            && (character.is_alphanumeric()
                || unicode_normalization::char::is_combining_mark(character))
        {
            run.push(character);
            continue;
        }
        words.push_run(&mut run);
        words.push(character);
    }
    words.push_run(&mut run);
    words.text
}

#[derive(Default)]
struct Words {
    text: String,
    last: Option<Reading>,
}

impl Words {
    fn push_run(&mut self, run: &mut String) {
        if is_nfkc(run) {
            run.chars().for_each(|character| self.push(character));
        } else {
            run.nfkc().for_each(|character| self.push(character));
        }
        run.clear();
    }

    fn push(&mut self, character: char) {
        let reading = Reading::of(character);
        if reading == Reading::Drawing {
            // One gap for the whole drawing.
            if self.last != Some(Reading::Drawing) {
                self.text.push(' ');
            }
        } else {
            let is_parted = matches!(
                (self.last, reading),
                (Some(Reading::Letter), Reading::Single)
                    | (Some(Reading::Single), Reading::Letter | Reading::Single)
            );
            if is_parted {
                self.text.push(' ');
            }
            let is_gap = reading == Reading::Gap && !is_known_gap(character);
            self.text.push(if is_gap { ' ' } else { character });
        }
        self.last = Some(reading);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::searchable;

    fn words(text: &str) -> String {
        searchable(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn what_the_tokenizer_reads_right_is_left_as_it_is() {
        for text in [
            "",
            "plain English, with (punctuation) and C:\\paths\\new",
            "Größe, naïve, Привет мир, Ελληνικά, שלום, مرحبا",
            "✅ done",
            "{\"a\": \"no escapes\", \"b\": [1.50, true]}",
            "…“quotes” – and\u{a0}dashes",
        ] {
            assert_eq!(searchable(text), None, "{text}");
        }
    }

    #[test]
    fn characters_of_scripts_without_spaces_and_symbols_are_words() {
        assert_eq!(words("youer服务端"), "youer 服 务 端");
        assert_eq!(words("서버를 재시작"), "서 버 를 재 시 작");
        assert_eq!(words("done✅🚀!"), "done ✅ 🚀!");
        // What the tokenizer's tables don't know parts words all the same.
        assert_eq!(words("500₽ 100₺"), "500  100 ");
        assert_eq!(words("\u{2068}Anna\u{2069}"), " Anna ");
        assert_eq!(words("👍🏽ok"), "👍 ok");
        // Half and full width, composed and not, are spelled alike.
        assert_eq!(words("ｻｰﾊﾞｰ"), words("サーバー"));
        assert_eq!(words("ＡＢＣ"), "ABC");
    }

    #[test]
    fn drawings_and_data_are_no_words() {
        assert_eq!(words("┌──┐a│b ⠋⠙ 50% ███░░"), " a b   50%  ");
        let data = "q8Zk1Lx0vT3mB7nY".repeat(20);
        assert_eq!(words(&format!("image {data} end")), "image   end");
        for words in [
            "some/path-of_words/",
            "authentication0service-",
            "a_very_long_Name_Of_a_Function/",
        ] {
            assert_eq!(searchable(&words.repeat(30)), None, "{words}");
        }
        assert_eq!(searchable(&"x".repeat(1000)), None);
    }

    #[test]
    fn escape_sequences_hide_no_word() {
        for text in [
            "\x1b[1;31merror\x1b[0m",
            "\x1b]8;;https://example.org\x1b\\error\x1b]8;;\x07",
            "\x1b(Berror\x1b(0",
            "\x1b[2K\x1b[1Gerror\x1b[K",
            "\u{9b}31merror\u{9b}m",
        ] {
            assert_eq!(words(text).trim(), "error", "{text:?}");
        }
        assert_eq!(words("er\x1b[1mr\x1b[0mor now"), "error er r or now");
        assert_eq!(words("50\x1b[Kdone"), "50done 50 done");
    }

    #[test]
    fn strings_of_json_are_decoded_at_every_level() {
        let found = |text: &str| {
            words(text)
                .split(|character: char| !character.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(r#"{"k\ney":"one\ntwo"}"#), ["k", "ey", "one", "two"]);
        assert_eq!(found(r#""caf\u00e9""#), ["café"]);
        assert_eq!(
            found(r#"INFO [x] {"a":"{\"b\":\"c\\nd\"}", "e":1.50}"#),
            ["INFO", "x", "a", "b", "c", "d", "e", "1", "50"]
        );
        assert_eq!(found(r#"{"a":"\u001b[31mred\u001b[0m"}"#), ["a", "red"]);
        assert_eq!(
            found("{\"a\":\"x\\ny\"}\n{\"b\":\"\\tz\"}"),
            ["a", "x", "y", "b", "z"]
        );
    }

    proptest! {
        #[test]
        fn any_text_has_words_and_its_words_are_their_own(text in "(\\PC|[\\x00-\\x1f\"\\\\{}\\[\\]]|服|✅|\\x1b\\[[0-9]{0,2}m){0,60}") {
            let once = words(&text);
            // JSON may hold JSON: what is left of the rest is stable.
            if !text.contains('\\') && !text.contains('\x1b') && !text.contains(|c| ('\u{80}'..='\u{9f}').contains(&c)) {
                prop_assert_eq!(words(&once), once);
            }
        }
    }
}
