//! The words of a text, in the form in which the full-text index finds them.
//!
//! FTS5's tokenizer takes a stretch of letters and digits for a word. In a terminal's output the letters of an escape
//! sequence stand beside the words, in JSON those of `\n`; Chinese, Japanese, Korean or Thai put no space between theirs.
//! What is indexed and what is searched for both pass through here.

mod data;
mod escapes;
mod json;
mod noise;
mod pieces;
mod spacing;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use data::{LONGEST_RUN, is_data};
use json::decode_json;
use noise::{is_noise, stretches};
use pieces::{FEW, Words};

/// How deep JSON within a string of JSON is read.
const NESTED_JSON: usize = 4;
/// Returns the words of a text, of a very long one those of its beginning; `None` where the text itself serves.
pub(crate) fn searchable(text: &str) -> Option<String> {
    if text.len() <= FEW && is_plain(text) {
        return None;
    }
    let mut words = Words::of(text);
    if is_noise(text) {
        stretches(text, |stretch| words.push(stretch));
    } else {
        decode_json(text, NESTED_JSON, &mut |part| words.push(part));
    }
    words.finish()
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

fn is_symbol(character: char) -> bool {
    !character.is_ascii() && character.general_category() == GeneralCategory::OtherSymbol
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::pieces::{FEW, MOST};
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
        assert_eq!(words(r#""a\u0000b""#).trim(), "a b");
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

    #[test]
    fn a_long_text_reads_as_its_lines_do() {
        for line in [
            "plain e\u{301}te\n",
            "服务端 ｻｰﾊﾞｰ and Größe\n",
            "\x1b[1;31mer\x1b[0mror\x1b]0;a title\x07 50\x1b[K%\n",
            "┌──┐ \\ {\"a\": \"x\\ny\"}\n",
        ] {
            let long = line.repeat(300_000 / line.len());
            let (long, single) = (words(&long), words(line));
            assert!(
                long.lines()
                    .eq(single.lines().cycle().take(long.lines().count()))
            );
        }
        // Where nothing parts it.
        let word = "a\x1b[1mb\u{306f}\u{3099}".repeat(20_000);
        let found = words(&word);
        assert!(!found.contains('m') && !found.contains('\u{3099}'));
        // Of a word that is longer than any that can be found, the beginning is enough.
        for letter in ["x", "\u{301}", "ж"] {
            let text = format!("{} end", letter.repeat(300_000));
            let found = words(&text);
            assert!(
                (32 * 1024..100_000).contains(&found.len()),
                "{}",
                found.len()
            );
            assert!(found.starts_with(letter) && found.ends_with(" end"));
        }
    }

    #[test]
    fn of_a_very_long_text_the_beginning_is_indexed() {
        for unit in ["plain words ", "服务端"] {
            let text = unit.repeat((MOST + FEW) / unit.len());
            let found = words(&text);
            let above = found.len() - MOST;
            assert!(above < 200_000, "{unit}: {above}");
        }
        let text = "a".repeat(1000) + &" ".repeat(MOST - 2000) + " end";
        assert_eq!(searchable(&text), None);
    }

    #[test]
    fn in_noise_only_what_looks_like_text_has_words() {
        let noise = "\u{fffd}a\0\u{fffd}\u{fffd}Z\x03k7\u{fffd}".repeat(500);
        let found = words(&format!("{noise}usage: ls all{noise}"));
        assert_eq!(
            found.split_whitespace().collect::<Vec<_>>(),
            ["usage:", "ls", "all"]
        );
        // A few wrong bytes are no noise, nor is a short line.
        let text = "so it is gr\u{fffd}n ".repeat(500);
        assert_eq!(words(&text), "so it is gr n ".repeat(500));
        assert_eq!(words("\u{fffd}\u{fffd}ok\u{fffd}"), " ok ");
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

    #[test]
    fn of_very_many_different_words_those_of_the_beginning_are_found() {
        let all = |count: u32| {
            (0..count)
                .map(|number| format!("{number:x} "))
                .collect::<String>()
        };
        let (few, many) = (all(300_000), all(450_000));
        assert!(few.len() > FEW && many.len() < MOST);
        assert_eq!(searchable(&few), None);
        let found = searchable(&many).unwrap();
        assert!(many.starts_with(&found));
        let count = found.split_whitespace().count();
        assert!((400_000..420_000).contains(&count), "{count}");
        // The same word is one, however often.
        assert_eq!(searchable(&"again and ".repeat(150_000)), None);
    }
}
