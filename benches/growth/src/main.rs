//! The growth run: what an operation costs, and how many bytes a row takes, as a store grows.
//!
//! ```sh
//! cargo run --release --manifest-path benches/growth/Cargo.toml -- --json growth.jsonl --plots docs
//! ```
//!
//! One store grows to 10,000, 100,000 and 1,000,000 events, another to 1,000, 10,000 and 100,000 agents with ten
//! transitions each; at each size every operation is measured alone, one call after the other. Tables go to standard
//! output, each number as a JSON line to a file as soon as it is known, and plots as SVG into a directory. `--quick` ends
//! in seconds. The stores live in the directory for temporary files (`TMPDIR` chooses the disk) and need 2 GB at full size.
//!
//! The text is that of `../shared/data/agent-runs.jsonl` beside the repository, over and over under new ids; where that is
//! absent, made up.

mod agents;
mod contents;
mod events;
mod measure;
mod plot;
mod report;
mod space;
mod stores;

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use descartes_state::serde_json::json;

use contents::Contents;
use report::Report;

/// Whatever ends the run early.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures how costs and bytes grow with the store.
#[derive(Debug, Parser)]
struct Arguments {
    /// Small stores: 1,000 and 10,000 events, 100 and 1,000 agents
    #[arg(long)]
    quick: bool,
    /// At most so many events, for a part of the full run
    #[arg(long, value_name = "ROWS", default_value_t = 1_000_000)]
    most_events: u64,
    /// Writes every number to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the plots into this directory, as SVG
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let contents = Contents::read()?;
    let mut report = Report::new(arguments.json.as_deref())?;
    let cpus = std::thread::available_parallelism()?.get();
    report.note(json!({
        "record": "run",
        "quick": arguments.quick,
        "contents": contents.source,
        "common_word": contents.common_word,
        "rare_word": contents.rare_word,
        "sqlite": stores::sqlite_version().await?,
        "cpus": cpus,
    }))?;

    let sizes: &[u64] = if arguments.quick {
        &[1_000, 10_000]
    } else {
        &[10_000, 100_000, 1_000_000]
    };
    let sizes: Vec<u64> = sizes
        .iter()
        .copied()
        .filter(|size| *size <= arguments.most_events)
        .collect();
    events::grow(&sizes, &contents, &mut report).await?;
    // Agents are a tenth of the events, and their transitions as many.
    let tenths: Vec<u64> = sizes.iter().map(|size| size / 10).collect();
    agents::grow(&tenths, &contents, &mut report).await?;

    report.print();
    println!("\nThe run took {:.0} s.", start.elapsed().as_secs_f64());
    if let Some(directory) = &arguments.plots {
        std::fs::create_dir_all(directory)?;
        plot::all(&report, directory)?;
    }
    Ok(())
}
