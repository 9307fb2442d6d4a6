//! The workloads, by name.

use serde::{Deserialize, Serialize};

use crate::corpus::Word;
use crate::inputs::StateSize;

/// As our store's own setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    Full,
    Relaxed,
}

/// What each operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Save {
        size: StateSize,
        compress: bool,
    },
    /// Our store indexes every event for the search. The others do so only where `indexed`.
    Append {
        indexed: bool,
    },
    /// 10,000 events in one call, indexed by everybody.
    AppendAll,
    /// A new state of an agent, its transition and an event in one transaction, indexed by everybody.
    Step,
    Load,
    /// Nine loads to a save.
    Mixed,
    /// Agents with all that is stored of them.
    List,
    /// Agents with the eight fields that a caller sees.
    States,
    History,
    Search(Word),
    /// Agent, transition, event and task in one transaction, indexed by everybody.
    FourAggregates,
    /// Half loads, half saves, and a task beside them that wants to run every millisecond.
    Ticker,
}

impl Action {
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(
            self,
            Self::Load | Self::List | Self::States | Self::History | Self::Search(_)
        )
    }

    /// Whether everybody puts new events into the full-text index, in the transaction that writes them.
    #[must_use]
    pub fn indexes(self) -> bool {
        matches!(
            self,
            Self::Append { indexed: true } | Self::AppendAll | Self::Step | Self::FourAggregates
        )
    }

    /// What one operation counts for: rows of a bulk append, else one.
    #[must_use]
    pub fn unit(self, bulk: usize) -> usize {
        if self == Self::AppendAll { bulk } else { 1 }
    }
}

/// What the ratio to raw rusqlite is a ratio of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Higher is better.
    Throughput,
    /// Lower is better.
    Median,
}

/// Which prepared file it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Database {
    /// 1,000 agents, 1,000 events, 128 tasks.
    Small,
    /// 10,000 agents, 30,000 transitions, 20,000 of them of four agents.
    Large,
    /// 100,000 events.
    Events,
    /// 1,000,000 events.
    Million,
}

#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    pub action: Action,
    /// Callers at the same time.
    pub tasks: usize,
    pub durability: Durability,
    /// What is added to each fsync, in microseconds.
    pub slower_fsync: u64,
    /// Whether the file's pages are out of the system's cache when it starts.
    pub is_cold: bool,
    pub database: Database,
    pub measure: Measure,
    /// How long a measurement takes at least, unless it is said.
    pub least_seconds: f64,
}

impl Workload {
    fn new(name: &str, action: Action, tasks: usize) -> Self {
        let measure = match action {
            Action::AppendAll
            | Action::List
            | Action::States
            | Action::History
            | Action::Search(_)
            | Action::Ticker => Measure::Throughput,
            _ if tasks > 1 => Measure::Throughput,
            _ => Measure::Median,
        };
        Self {
            name: name.to_owned(),
            action,
            tasks,
            durability: Durability::Full,
            slower_fsync: 0,
            is_cold: false,
            database: match action {
                Action::List | Action::States | Action::History => Database::Large,
                Action::Search(_) => Database::Events,
                _ => Database::Small,
            },
            measure,
            least_seconds: 0.0,
        }
    }

    /// On a file of a million events: the merges of its index come seldom, and take long.
    fn among_a_million(name: &str, tasks: usize) -> Self {
        Self {
            database: Database::Million,
            least_seconds: 2.0,
            ..Self::new(name, Action::Append { indexed: true }, tasks)
        }
    }

    fn slower(name: &str, action: Action, tasks: usize, milliseconds: u64) -> Self {
        Self {
            slower_fsync: milliseconds * 1000,
            ..Self::new(name, action, tasks)
        }
    }

    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        workloads()
            .into_iter()
            .find(|workload| workload.name == name)
    }
}

/// A state of 1 KiB as it is.
const SMALL: Action = Action::Save {
    size: StateSize::Small,
    compress: false,
};

/// All of them, in the order in which they run.
#[must_use]
pub fn workloads() -> Vec<Workload> {
    let save = |size, compress| Action::Save { size, compress };
    let append = |indexed| Action::Append { indexed };
    let writes = [
        ("save_1", SMALL, 1),
        ("save_64", SMALL, 64),
        ("save_512", SMALL, 512),
        ("append_1", append(false), 1),
        ("append_64", append(false), 64),
        ("append_indexed_1", append(true), 1),
        ("append_indexed_64", append(true), 64),
        ("bulk_10k", Action::AppendAll, 1),
        ("step_1", Action::Step, 1),
        ("step_64", Action::Step, 64),
        ("mixed_64", Action::Mixed, 64),
        ("four_1", Action::FourAggregates, 1),
        ("four_64", Action::FourAggregates, 64),
        ("save_16k", save(StateSize::Medium, false), 1),
        ("save_16k_zstd", save(StateSize::Medium, true), 1),
        ("save_256k", save(StateSize::Large, false), 1),
        ("save_256k_zstd", save(StateSize::Large, true), 1),
    ];
    let mut all = Vec::new();
    for (name, action, tasks) in writes {
        all.push(Workload::new(&format!("{name}_full"), action, tasks));
        all.push(Workload {
            durability: Durability::Relaxed,
            ..Workload::new(&format!("{name}_relaxed"), action, tasks)
        });
    }
    all.extend([
        Workload::among_a_million("append_1m_1_full", 1),
        Workload::among_a_million("append_indexed_1m_64_full", 64),
        Workload::slower("save_64_1ms", SMALL, 64, 1),
        Workload::new("load_1", Action::Load, 1),
        Workload::new("load_64", Action::Load, 64),
        Workload::new("list_10k", Action::List, 1),
        Workload::new("list_10k_64", Action::List, 64),
        Workload::new("states_page", Action::States, 1),
        Workload::new("states_page_64", Action::States, 64),
        Workload::new("history_100", Action::History, 1),
        Workload::new("history_100_64", Action::History, 64),
        Workload::new("search_rare", Action::Search(Word::Rare), 1),
        Workload::new("search_medium", Action::Search(Word::Medium), 1),
        Workload::new("search_common", Action::Search(Word::Common), 1),
        Workload::new("ticker", Action::Ticker, 64),
        Workload::slower("ticker_1ms", Action::Ticker, 64, 1),
        Workload::slower("ticker_10ms", Action::Ticker, 64, 10),
        Workload {
            is_cold: true,
            database: Database::Large,
            ..Workload::new("ticker_cold", Action::Ticker, 64)
        },
    ]);
    all
}
