//! The numbers: JSON lines as they come, and tables at the end.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use descartes_state::serde_json::{Value, json};

use crate::measure::Cost;
use crate::space::Space;
use crate::{Failure, agents, events};

/// All that was measured.
pub(crate) struct Report {
    file: Option<File>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) spaces: Vec<Space>,
}

impl Report {
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self {
            file: file.map(File::create).transpose()?,
            costs: Vec::new(),
            spaces: Vec::new(),
        })
    }

    /// Writes one JSON line.
    pub(crate) fn note(&mut self, line: Value) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    pub(crate) fn cost(&mut self, cost: Cost) -> Result<(), Failure> {
        self.note(json!({
            "record": "cost",
            "subject": cost.subject,
            "rows": cost.rows,
            "operation": cost.operation,
            "samples": cost.samples,
            "returned": cost.returned,
            "median_us": cost.median,
            "p99_us": cost.p99,
        }))?;
        self.costs.push(cost);
        Ok(())
    }

    pub(crate) fn space(&mut self, space: Space) -> Result<(), Failure> {
        self.note(json!({
            "record": "space",
            "subject": space.subject,
            "rows": space.rows,
            "table_bytes": space.table,
            "index_bytes": space.indexes,
            "search_bytes": space.search,
            "file_bytes": space.file,
        }))?;
        self.spaces.push(space);
        Ok(())
    }

    /// The costs of one subject, an operation at a time, in the order in which they were first measured.
    pub(crate) fn operations(&self, subject: &str) -> Vec<(&'static str, Vec<&Cost>)> {
        let mut operations: Vec<(&'static str, Vec<&Cost>)> = Vec::new();
        for cost in self.costs.iter().filter(|cost| cost.subject == subject) {
            match operations
                .iter_mut()
                .find(|(name, _)| *name == cost.operation)
            {
                Some((_, costs)) => costs.push(cost),
                None => operations.push((cost.operation, vec![cost])),
            }
        }
        operations
    }

    /// Prints the tables as Markdown.
    pub(crate) fn print(&self) {
        for subject in [events::SUBJECT, agents::SUBJECT] {
            self.print_costs(subject);
        }
        println!("\n| bytes a row | table | indexes | full-text index | together | file, MB |");
        println!("|---|---|---|---|---|---|");
        for space in &self.spaces {
            println!(
                "| {} {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} |",
                grouped(space.rows),
                space.subject,
                space.a_row(space.table),
                space.a_row(space.indexes),
                space.a_row(space.search),
                space.a_row(space.total()),
                space.file as f64 / 1e6,
            );
        }
    }

    fn print_costs(&self, subject: &str) {
        let operations = self.operations(subject);
        let Some((_, sizes)) = operations.first() else {
            return;
        };
        let heads: Vec<String> = sizes
            .iter()
            .map(|cost| format!("{} {subject}", grouped(cost.rows)))
            .collect();
        println!("\n| median / p99, µs | {} |", heads.join(" | "));
        println!("|---|{}", "---|".repeat(heads.len()));
        for (operation, costs) in operations {
            let cells: Vec<String> = costs.iter().map(|cost| cell(cost)).collect();
            println!("| {operation} | {} |", cells.join(" | "));
        }
    }
}

fn cell(cost: &Cost) -> String {
    let times = format!("{} / {}", microseconds(cost.median), microseconds(cost.p99));
    // Fewer rows than asked for make an operation cheaper, so the table says so.
    if cost.returned > 1 && cost.returned < 100 {
        format!("{times} ({} rows)", cost.returned)
    } else {
        times
    }
}

/// A time with as many digits as mean something.
pub(crate) fn microseconds(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        // Positive, and far below what a u64 holds.
        grouped(value.round() as u64)
    }
}

/// A number with a comma before every three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
