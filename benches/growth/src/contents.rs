//! What the rows say: the text of real runs of agents where it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use descartes_state::ActorType;
use descartes_state::serde_json::{self, Value};

use crate::Failure;

/// One step of an agent's run.
pub(crate) struct Step {
    pub(crate) run: String,
    pub(crate) number: u64,
    pub(crate) event_type: String,
    pub(crate) actor_type: ActorType,
    pub(crate) actor: String,
    pub(crate) text: String,
}

/// Steps to make rows of, and the words to search for.
pub(crate) struct Contents {
    /// Where the text is from.
    pub(crate) source: &'static str,
    pub(crate) steps: Vec<Step>,
    /// The word that most steps hold.
    pub(crate) common_word: String,
    /// A word that one step holds.
    pub(crate) rare_word: String,
}

impl Contents {
    pub(crate) fn read() -> Result<Self, Failure> {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/agent-runs.jsonl");
        let (source, steps): (_, Vec<Step>) = if file.exists() {
            let lines = std::fs::read_to_string(&file)?;
            let steps = lines.lines().map(step).collect::<Result<_, _>>()?;
            ("agent-runs.jsonl", steps)
        } else {
            eprintln!("../shared/data/agent-runs.jsonl is absent: the text is made up");
            ("made up", (0..2_700).map(made_up).collect())
        };
        let (common_word, rare_word) = words(&steps)?;
        Ok(Self {
            source,
            steps,
            common_word,
            rare_word,
        })
    }

    /// The step of a row, however many rows there are.
    pub(crate) fn step(&self, row: u64) -> &Step {
        // The remainder is below a length, which is a usize.
        &self.steps[(row % self.steps.len() as u64) as usize]
    }

    /// Which time around: every one of them has runs of its own.
    pub(crate) fn round(&self, row: u64) -> u64 {
        row / self.steps.len() as u64
    }
}

fn step(line: &str) -> Result<Step, Failure> {
    let line: Value = serde_json::from_str(line)?;
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    Ok(Step {
        run: text("run"),
        number: line["step"].as_u64().unwrap_or_default(),
        event_type: text("event_type"),
        actor_type: text("actor_type").parse()?,
        actor: text("agent"),
        text: text("content"),
    })
}

/// About as long as a real one, from a small vocabulary.
fn made_up(number: u64) -> Step {
    const VERBS: [&str; 7] = [
        "opened", "read", "wrote", "tested", "searched", "moved", "ran",
    ];
    const NOUNS: [&str; 9] = [
        "the parser",
        "a lockfile",
        "its tests",
        "the schema",
        "a directory",
        "the log",
        "an index",
        "two branches",
        "the patch",
    ];
    let mut text = format!("word{number} ");
    for part in 0..12 {
        let verb = VERBS[((number * 5 + part * 3) % 7) as usize];
        let noun = NOUNS[((number * 7 + part * 2) % 9) as usize];
        text.push_str(&format!("The agent {verb} {noun}. "));
    }
    Step {
        run: format!("run-{}", number / 25),
        number: number % 25,
        event_type: if number.is_multiple_of(2) {
            "action"
        } else {
            "observation"
        }
        .to_owned(),
        actor_type: ActorType::Agent,
        actor: "agent".to_owned(),
        text,
    }
}

/// The word that most steps hold, and one that a single step holds.
fn words(steps: &[Step]) -> Result<(String, String), Failure> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for step in steps {
        let words: BTreeSet<String> = step
            .text
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| word.len() >= 4 && word.is_ascii())
            .map(str::to_ascii_lowercase)
            .collect();
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
    }
    let common = counts.iter().max_by_key(|(_, count)| **count);
    let rare = counts.iter().find(|(word, count)| {
        **count == 1 && word.starts_with(|first: char| first.is_alphabetic())
    });
    match (common, rare) {
        (Some((common, _)), Some((rare, _))) => Ok((common.clone(), rare.clone())),
        _ => Err("the contents hold no word to search for".into()),
    }
}
