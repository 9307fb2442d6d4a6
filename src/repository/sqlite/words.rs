//! What a person types, as the full-text index and the look through recent events understand it.

use crate::namespace::Namespace;
use crate::search_text::{is_word_character, searchable};

/// How much of a word is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Whole,
    /// Each may go on.
    Beginnings,
}

/// The words that a search wants.
pub(in crate::repository) struct Wanted {
    /// What was typed, cut at the spaces.
    #[cfg(feature = "postgres")]
    pub(in crate::repository) typed: Vec<String>,
    /// Quoted terms.
    terms: String,
    /// Words of ASCII, in lower case, without which no text of ASCII matches.
    plain: Vec<String>,
}

impl Wanted {
    /// Returns what a text wants, or `None` where it holds no word.
    ///
    /// Each term is a quoted string, so that nothing in it is syntax (<https://www.sqlite.org/fts5.html>, section 3.1).
    /// FTS5 drops a string in which its tokenizer finds no word, and all that remain must match.
    pub(in crate::repository) fn of(text: &str, words: Words) -> Option<Self> {
        // FTS5 reads the expression as a C string: NUL would cut it short.
        let terms: Vec<String> = text
            .split(|character: char| character.is_whitespace() || character == '\0')
            .map(|term| searchable(term).unwrap_or_else(|| term.to_owned()))
            .filter(|term| term.chars().any(is_word_character))
            .collect();
        if terms.is_empty() {
            return None;
        }
        let plain = terms
            .iter()
            .filter(|term| term.is_ascii())
            .flat_map(|term| term.split(|character: char| !is_word_character(character)))
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        let quoted: Vec<String> = terms
            .iter()
            .map(|term| {
                let term = term.replace('"', "\"\"");
                match words {
                    Words::Whole => format!("\"{term}\""),
                    Words::Beginnings => format!("\"{term}\" *"),
                }
            })
            .collect();
        Some(Self {
            terms: quoted.join(" "),
            #[cfg(feature = "postgres")]
            typed: terms,
            plain,
        })
    }

    /// Returns the FTS5 expression. Without a namespace it finds every namespace's rows.
    pub(super) fn expression(&self, namespace: Option<&Namespace>) -> String {
        let content = format!("content : ({})", self.terms);
        match namespace {
            Some(namespace) => format!(
                "namespace_word : \"{}\" AND {content}",
                namespace_word(namespace)
            ),
            None => content,
        }
    }

    /// Returns whether a text may match: false only where it surely doesn't.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        // Any other text may hold a word in another spelling.
        if self.plain.is_empty() || !text.is_ascii() {
            return true;
        }
        let text = text.to_ascii_lowercase();
        self.plain.iter().all(|word| text.contains(word.as_str()))
    }
}

/// Returns it as the view `events_search_source` makes it: one token of any prefix.
fn namespace_word(namespace: &Namespace) -> String {
    use std::fmt::Write;
    namespace
        .as_str()
        .bytes()
        .fold(String::from("n"), |mut word, byte| {
            // Writing to a String can't fail.
            let _ = write!(word, "{byte:02X}");
            word
        })
}

#[cfg(test)]
mod tests {
    use super::{Wanted, Words};
    use crate::namespace::Namespace;

    fn of(prefix: &str, text: &str) -> Option<String> {
        let wanted = Wanted::of(text, Words::Whole)?;
        Some(wanted.expression(Some(&Namespace::new(prefix).unwrap())))
    }

    #[test]
    fn what_a_person_types_becomes_quoted_terms() {
        assert_eq!(
            of("", "it's  C++ AND \"x").as_deref(),
            Some(r#"namespace_word : "n" AND content : ("it's" "C++" "AND" """x")"#)
        );
        assert_eq!(
            of("ab", "cd").as_deref(),
            Some(r#"namespace_word : "n6162" AND content : ("cd")"#)
        );
        assert_eq!(
            Wanted::of("cd 项目", Words::Beginnings)
                .unwrap()
                .expression(None),
            r#"content : ("cd" * "项 目" *)"#
        );
    }

    #[test]
    fn text_without_a_word_is_no_expression() {
        for text in ["", "  ", "* - +", "\"\"", "\0"] {
            assert_eq!(of("", text), None);
        }
    }

    #[test]
    fn a_text_is_dropped_only_where_it_surely_does_not_match() {
        let may_be_in = |wanted, text| Wanted::of(wanted, Words::Whole).unwrap().may_be_in(text);
        for (wanted, text) in [
            ("Task", "the TASK is done"),
            ("it's", "what it says, S"),
            ("cafe", "café"),
            ("done 项目", "not DONE"),
        ] {
            assert!(may_be_in(wanted, text), "{wanted} in {text}");
        }
        for (wanted, text) in [("task", "the tusk"), ("task done", "a task"), ("a-b", "a")] {
            assert!(!may_be_in(wanted, text), "{wanted} in {text}");
        }
    }
}
