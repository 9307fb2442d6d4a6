//! Just enough of Rust's syntax to find the paths that a file names.

/// A path, resolved: from the root of the crate, or from the crate that it begins with.
#[derive(Debug)]
pub(crate) struct NamedPath {
    pub(crate) is_internal: bool,
    pub(crate) segments: Vec<String>,
}

/// The source's words and signs, without comments, texts, characters and lifetimes. `::` is one sign, and so is `::<`.
pub(crate) fn idents(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(skipped) = comment_or_text(rest) {
            skipped
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_');
            let word = &rest[..end.unwrap_or(rest.len())];
            tokens.push(word.to_owned());
            word.len()
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let sign = ["::<", "::"]
                .into_iter()
                .find(|sign| rest.starts_with(sign));
            let sign = sign.unwrap_or(&rest[..first.len_utf8()]);
            tokens.push(sign.to_owned());
            sign.len()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of a comment, text, character or lifetime that the source begins with.
fn comment_or_text(source: &str) -> Option<usize> {
    if source.starts_with("//") {
        return Some(source.find('\n').unwrap_or(source.len()));
    }
    if source.starts_with("/*") {
        return Some(block_comment(source));
    }
    let prefix = source
        .bytes()
        .take(3)
        .position(|byte| b"\"'#".contains(&byte))?;
    match &source[..prefix] {
        "r" | "br" | "cr" if !source[prefix..].starts_with('\'') => raw_text(source, prefix),
        "" | "b" | "c" => match source[prefix..].chars().next()? {
            '"' => Some(prefix + quoted(&source[prefix..], '"')),
            '\'' => Some(prefix + character_or_lifetime(&source[prefix..])),
            _ => None,
        },
        _ => None,
    }
}

/// Block comments nest.
fn block_comment(source: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// A text between two of the same quote, with escapes.
fn quoted(source: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, character) in source.char_indices().skip(1) {
        if character == quote && !escaped {
            return index + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    source.len()
}

/// `r"…"` and `r#"…"#`; `r#type` is a word.
fn raw_text(source: &str, prefix: usize) -> Option<usize> {
    let hashes = source[prefix..].chars().take_while(|next| *next == '#');
    let hashes = hashes.count();
    let text = source[prefix + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = text.find(&end).map_or(text.len(), |at| at + end.len());
    Some(prefix + hashes + 1 + length)
}

fn character_or_lifetime(source: &str) -> usize {
    let mut characters = source.chars().skip(1);
    let first = characters.next();
    if first == Some('\\') || characters.next() == Some('\'') {
        return quoted(source, '\'');
    }
    let name = source[1..].find(|next: char| !next.is_alphanumeric() && next != '_');
    1 + name.unwrap_or(source.len() - 1)
}

/// Every path that begins with `crate`, `self`, `super` or another word, resolved from the file's module.
pub(crate) fn paths(source: &str, module: &[String]) -> Vec<NamedPath> {
    let tokens = idents(source);
    let token = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut module = module.to_vec();
    // The depth of braces at which each inline module began.
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        match token(index) {
            "{" => {
                depth += 1;
                if index > 1 && token(index - 2) == "mod" {
                    module.push(tokens[index - 1].clone());
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
                depth -= 1;
            }
            word if is_word(word) => {
                index = tree(&tokens, index, &[], &mut |segments| {
                    found.extend(resolve(segments, &module));
                });
                continue;
            }
            _ => {}
        }
        index += 1;
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Reads `a::b::{c, d::*}` from a word on, and reports each path; returns the index behind it.
fn tree(
    tokens: &[String],
    start: usize,
    prefix: &[String],
    report: &mut dyn FnMut(&[String]),
) -> usize {
    let token = |index: usize| tokens.get(index).map_or("", String::as_str);
    let mut segments = prefix.to_vec();
    segments.push(tokens[start].clone());
    let mut at = start + 1;
    while token(at) == "::" {
        match token(at + 1) {
            "{" => {
                at += 2;
                while !["}", ""].contains(&token(at)) {
                    at = match token(at) {
                        "," => at + 1,
                        _ => tree(tokens, at, &segments, report),
                    };
                }
                return at + 1;
            }
            next if is_word(next) || next == "*" => {
                segments.push(next.to_owned());
                at += 2;
            }
            _ => break,
        }
    }
    report(&segments);
    at
}

/// The path from the root of its crate; nothing for a lone `crate`, `self` or `super`, as in `pub(crate)`.
fn resolve(segments: &[String], module: &[String]) -> Option<NamedPath> {
    let (first, mut rest) = segments.split_first()?;
    let mut path = match first.as_str() {
        "crate" | "self" | "super" if rest.is_empty() => return None,
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        _ => {
            return Some(NamedPath {
                is_internal: false,
                segments: segments.to_vec(),
            });
        }
    };
    while let Some((_, after)) = rest.split_first().filter(|(next, _)| *next == "super") {
        path.pop();
        rest = after;
    }
    // `use crate::models::{self, Event}` names the module.
    path.extend(rest.iter().filter(|next| *next != "self").cloned());
    Some(NamedPath {
        is_internal: true,
        segments: path,
    })
}
