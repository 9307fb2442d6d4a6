//! Texts for states and events: real ones where there is a file of them, else made ones of the same sizes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// An event's content is cut to this.
const MOST_BYTES: usize = 4096;

/// A word that is planted in events, so that how often it occurs is known whatever the texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    Rare,
    Medium,
    Common,
}

impl Word {
    pub const ALL: [Self; 3] = [Self::Rare, Self::Medium, Self::Common];

    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Rare => "zyzzogeton",
            Self::Medium => "quokkamedium",
            Self::Common => "wombatcommon",
        }
    }

    /// It stands in every so-manieth event.
    fn every(self) -> usize {
        match self {
            Self::Rare => 5000,
            Self::Medium => 100,
            Self::Common => 4,
        }
    }

    #[must_use]
    pub fn is_in(self, index: usize) -> bool {
        index.is_multiple_of(self.every())
    }

    /// In how many of so many events.
    #[must_use]
    pub fn hits(self, events: usize) -> usize {
        events.div_ceil(self.every())
    }
}

/// The texts.
#[derive(Debug)]
pub struct Corpus {
    contents: Vec<String>,
    /// All of them, one after the other.
    whole: String,
}

#[derive(Deserialize)]
struct Line {
    content: String,
}

impl Corpus {
    /// Reads a file of JSON lines with a `content`; makes texts up where there is none.
    ///
    /// # Errors
    /// Where the file can't be read, or holds something else.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let contents = match path {
            Some(path) => read(path).with_context(|| format!("{}", path.display()))?,
            None => synthetic(),
        };
        Ok(Self {
            whole: contents.join("\n"),
            contents,
        })
    }

    /// The content of the event of this number.
    #[must_use]
    pub fn content(&self, index: usize) -> &str {
        &self.contents[index % self.contents.len()]
    }

    #[must_use]
    pub fn mean_content_bytes(&self) -> usize {
        self.contents.iter().map(String::len).sum::<usize>() / self.contents.len()
    }

    /// About so many bytes of text, from another place for each number.
    #[must_use]
    pub fn text(&self, index: usize, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 4);
        let mut from = index.wrapping_mul(7919) % self.whole.len();
        while text.len() < bytes {
            let start = self.whole.ceil_char_boundary_at(from);
            let end = self.whole.ceil_char_boundary_at(start + bytes - text.len());
            text.push_str(&self.whole[start..end]);
            from = 0;
        }
        text
    }
}

trait CharBoundary {
    fn ceil_char_boundary_at(&self, index: usize) -> usize;
}

impl CharBoundary for str {
    fn ceil_char_boundary_at(&self, index: usize) -> usize {
        (index..self.len())
            .find(|&at| self.is_char_boundary(at))
            .unwrap_or(self.len())
    }
}

fn read(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let contents = text
        .lines()
        .map(|line| {
            let mut content = serde_json::from_str::<Line>(line)?.content;
            content.truncate(content.ceil_char_boundary_at(MOST_BYTES.min(content.len())));
            Ok(content)
        })
        .collect::<Result<Vec<_>>>()?;
    anyhow::ensure!(!contents.is_empty(), "it holds no line");
    Ok(contents)
}

/// Words of made-up text; about as many different ones as short English texts use.
fn synthetic() -> Vec<String> {
    /// Sizes at which a tenth, a quarter, … of the real contents end: (share, bytes).
    const SIZES: [(f64, f64); 8] = [
        (0.0, 5.0),
        (0.1, 47.0),
        (0.25, 83.0),
        (0.5, 141.0),
        (0.75, 405.0),
        (0.9, 723.0),
        (0.99, 1955.0),
        (1.0, 4096.0),
    ];
    let mut random = SmallRng::seed_from_u64(1);
    let size = |random: &mut SmallRng| {
        let share: f64 = random.random();
        SIZES
            .windows(2)
            .find(|pair| share <= pair[1].0)
            .map_or(141.0, |pair| {
                let (from, to) = (pair[0], pair[1]);
                from.1 + (to.1 - from.1) * (share - from.0) / (to.0 - from.0)
            }) as usize
    };
    (0..2734)
        .map(|_| {
            let bytes = size(&mut random);
            let mut content = String::with_capacity(bytes + 16);
            while content.len() < bytes {
                // Squaring makes some words far more frequent than others, as in real text.
                let share: f64 = random.random();
                let word = (share * share * 8000.0) as usize;
                content.push_str(&word_of(word));
                content.push(if random.random_ratio(1, 12) {
                    '\n'
                } else {
                    ' '
                });
            }
            content.truncate(bytes);
            content
        })
        .collect()
}

fn word_of(number: usize) -> String {
    const SYLLABLES: [&str; 20] = [
        "an", "be", "co", "di", "er", "fu", "ga", "hi", "in", "ko", "la", "me", "no", "or", "pa",
        "re", "si", "ta", "un", "ve",
    ];
    let mut rest = number;
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
        if rest == 0 {
            return word;
        }
    }
}
