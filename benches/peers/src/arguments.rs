//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs descartes-state and its peers side by side, and prints how they compare.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Arguments {
    /// Ends within three minutes: what most goals need, three short rounds
    #[arg(long)]
    pub(crate) quick: bool,
    /// Some seconds: every contestant and workload, a handful of operations, no meaningful numbers
    #[arg(long, conflicts_with = "quick")]
    pub(crate) tiny: bool,
    /// Only these workloads, or those whose names begin so (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Vec<String>,
    /// Only these contestants (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) contestant: Vec<String>,
    /// How many rounds
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// How long each measurement takes
    #[arg(long, value_name = "S")]
    pub(crate) seconds: Option<f64>,
    /// Where the results go as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the databases lie while it runs: on the disk that is to be measured
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Texts for states and events, as JSON lines with a `content`
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Repeats the order of another run
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// One measurement; the program calls itself so
    #[command(hide = true)]
    Contestant { job: String },
    /// The same on a PostgreSQL server, beside sqlx and tokio-postgres
    #[cfg(feature = "server")]
    Server {
        /// The URL of the server's database `postgres`; others are made beside it
        url: String,
    },
    /// Eight processes of our store, on one file and on a server
    #[cfg(feature = "server")]
    Processes {
        /// The URL of the server's database `postgres`; others are made beside it
        url: String,
    },
    /// One of the eight; the program calls itself so
    #[cfg(feature = "server")]
    #[command(hide = true)]
    Writer { job: String, place: String },
}
