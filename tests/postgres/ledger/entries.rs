//! A process's ledger: a line before each write, and one of what was told of it.
//!
//! `begin CHAPTER NUMBER`, then `acknowledged CHAPTER NUMBER REVISION TRANSITION EVENT,EVENT..`, `failed CHAPTER NUMBER KIND` or
//! `unknown CHAPTER NUMBER`. Each line is one write to a file that is only appended to: it outlives its process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;

/// How many writes one chapter has: those of one task, in their order, to agents of their own. A check reads the chapters in
/// which something was told since the last one.
pub(super) const CHAPTER: usize = 24;

/// What a write is. It goes by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Save,
    Step,
    Append,
    AppendAll,
    Batch,
    Closure,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::Save,
        Self::Step,
        Self::Append,
        Self::AppendAll,
        Self::Batch,
        Self::Closure,
    ];

    pub(super) const fn of(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }

    /// How many transitions and events it leaves.
    pub(super) const fn rows(self) -> (usize, usize) {
        match self {
            Self::Save => (0, 0),
            Self::Step => (1, 2),
            Self::Append => (0, 1),
            Self::AppendAll => (0, 5),
            Self::Batch => (1, 1),
            Self::Closure => (0, 1),
        }
    }

    /// Whether it writes an agent.
    pub(super) const fn has_agent(self) -> bool {
        !matches!(self, Self::Append | Self::AppendAll)
    }

    /// The chapter's agent that writes of this kind change.
    pub(super) fn agent(self, chapter: &str) -> String {
        format!("{chapter}/{self:?}")
    }
}

/// The name that a write leaves in each of its rows.
pub(super) fn name(chapter: &str, number: usize) -> String {
    format!("{chapter}/{number}")
}

/// What an acknowledged write returned; 0 for what its kind doesn't have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) revision: i64,
    pub(super) transition: i64,
    pub(super) events: Vec<i64>,
}

/// What a writer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Acknowledged(Written),
    /// It was not committed.
    Failed(String),
    Unknown,
}

/// The line before a write.
pub(super) fn begun_line(chapter: &str, number: usize) -> String {
    format!("begin {chapter} {number}\n")
}

/// The line after a write.
pub(super) fn told_line(chapter: &str, number: usize, told: &Told) -> String {
    match told {
        Told::Acknowledged(written) => {
            let events: Vec<_> = written.events.iter().map(i64::to_string).collect();
            format!(
                "acknowledged {chapter} {number} {} {} {}\n",
                written.revision,
                written.transition,
                events.join(",")
            )
        }
        Told::Failed(kind) => format!("failed {chapter} {number} {kind}\n"),
        Told::Unknown => format!("unknown {chapter} {number}\n"),
    }
}

fn told(words: &[&str]) -> Told {
    let number = |text: &str| text.parse::<i64>().unwrap();
    match *words {
        ["unknown"] => Told::Unknown,
        ["failed", kind] => Told::Failed(kind.to_owned()),
        ["acknowledged", revision, transition, events] => Told::Acknowledged(Written {
            revision: number(revision),
            transition: number(transition),
            events: events.split_terminator(',').map(number).collect(),
        }),
        _ => panic!("no line of a ledger: {words:?}"),
    }
}

/// A write that was begun, and what was told of it, with the place of the line that says so.
#[derive(Debug)]
pub(super) struct Entry {
    begun_at: usize,
    told: Option<(usize, Told)>,
}

impl Entry {
    pub(super) fn told(&self) -> Option<&Told> {
        self.told.as_ref().map(|(_, told)| told)
    }

    /// What was told in the ledger's first so many bytes.
    pub(super) fn told_before(&self, place: usize) -> Option<&Told> {
        let told = self.told.as_ref();
        told.filter(|(at, _)| *at < place).map(|(_, told)| told)
    }
}

/// What one process's file says, as far as it was read.
pub(super) struct Ledger {
    file: File,
    /// What was read of a line that isn't whole yet.
    begun_line: Vec<u8>,
    /// How many bytes of whole lines were read.
    length: usize,
    pub(super) chapters: BTreeMap<String, Vec<Entry>>,
    /// The chapters of which something was read since they were last taken.
    touched: BTreeSet<String>,
    mark: usize,
    is_back: bool,
}

impl Ledger {
    pub(super) fn new(path: &Path) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path);
        Self {
            file: file.unwrap(),
            begun_line: Vec::new(),
            length: 0,
            chapters: BTreeMap::new(),
            touched: BTreeSet::new(),
            mark: 0,
            is_back: false,
        }
    }

    /// Reads what was written since; returns how many bytes there are.
    pub(super) fn read(&mut self) -> usize {
        let mut bytes = std::mem::take(&mut self.begun_line);
        self.file.read_to_end(&mut bytes).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        self.begun_line = bytes.split_off(whole.map_or(0, |end| end + 1));
        for line in String::from_utf8(bytes).unwrap().lines() {
            self.take_line(line);
            self.length += line.len() + 1;
        }
        self.length
    }

    fn take_line(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let [verb, chapter, number, rest @ ..] = &*words else {
            panic!("no line of a ledger: {line:?}");
        };
        let number: usize = number.parse().unwrap();
        if !self.chapters.contains_key(*chapter) {
            self.chapters.insert((*chapter).to_owned(), Vec::new());
        }
        let entries = self.chapters.get_mut(*chapter).unwrap();
        if *verb == "begin" {
            assert_eq!(entries.len(), number, "{line:?}");
            entries.push(Entry {
                begun_at: self.length,
                told: None,
            });
        } else {
            let told = told(&[&[*verb], rest].concat());
            let is_acknowledged = matches!(told, Told::Acknowledged(_));
            let entry = &mut entries[number];
            assert_eq!(entry.told, None, "{line:?}");
            self.is_back |= is_acknowledged && entry.begun_at >= self.mark;
            entry.told = Some((self.length, told));
        }
        if !self.touched.contains(*chapter) {
            self.touched.insert((*chapter).to_owned());
        }
    }

    /// Begins to look for an acknowledged write that is begun from here on.
    pub(super) fn await_another(&mut self) {
        self.mark = self.read();
        self.is_back = false;
    }

    /// Whether there was one.
    pub(super) fn is_back(&mut self) -> bool {
        self.read();
        self.is_back
    }

    /// Takes the chapters of which something was read since the last time.
    pub(super) fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }
}
