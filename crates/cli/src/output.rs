//! The only place that writes to standard output and standard error, but for a command's own output.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use descartes_state::Page;
use descartes_state::page::OmittedRow;
use descartes_state::serde_json::value::{RawValue, to_raw_value};
use descartes_state::serde_json::{self, Value, json};
use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Kind};
use crate::text::{cut, escaped};

/// Characters of a long text that a table shows, and of one beside others.
const LONG: usize = 80;
const BRIEF: usize = 40;

/// How the caller wants to read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    is_json: bool,
    is_full: bool,
    /// Whether standard error is a terminal that is raw.
    is_beside_raw: bool,
}

/// One cell of a table.
#[derive(Debug)]
pub(crate) enum Cell {
    /// An id, a name, a time, a number: never cut.
    Whole(String),
    /// Coloured by what it says.
    Status(String),
    /// A text of any length.
    Long(String),
    /// A text of any length beside others.
    Brief(String),
}

/// A record that can be shown both ways.
pub(crate) trait Row {
    const HEADERS: &'static [&'static str];
    fn cells(&self) -> Vec<Cell>;
    /// Returns the library's own shape, as text: what was recorded with all its digits is shown with all of them.
    fn json(&self) -> serde_json::Result<Box<RawValue>>;
}

fn omitted_row(row: &OmittedRow) -> Value {
    json!({ "id": row.id, "field": row.field, "bytes": row.bytes, "limit": row.limit })
}

impl Output {
    pub(crate) fn new(is_json: bool, is_full: bool) -> Self {
        Self {
            is_json,
            is_full,
            is_beside_raw: false,
        }
    }

    /// Writes its lines to a terminal that is raw, where nobody makes CR LF of LF.
    pub(crate) fn beside_raw(self) -> Self {
        Self {
            is_beside_raw: io::stderr().is_terminal(),
            ..self
        }
    }

    pub(crate) fn is_json(self) -> bool {
        self.is_json
    }

    /// Writes a page of a list, and where the next one begins.
    pub(crate) fn page<'a, T, R: Row>(
        self,
        page: &'a Page<T>,
        row: impl Fn(&'a T) -> R,
    ) -> Result<(), Failure> {
        let next = page.next.as_ref().map(ToString::to_string);
        let end = page.end.as_ref().map(ToString::to_string);
        if self.is_json {
            let items = page.items.iter().map(|item| row(item).json());
            let items = items.collect::<Result<Vec<_>, _>>()?;
            let mut document = BTreeMap::from([
                ("items", to_raw_value(&items)?),
                ("next", to_raw_value(&next)?),
                ("end", to_raw_value(&end)?),
            ]);
            if !page.omitted.is_empty() {
                let omitted: Vec<Value> = page.omitted.iter().map(omitted_row).collect();
                document.insert("omitted", to_raw_value(&omitted)?);
            }
            return self.document(&to_raw_value(&document)?);
        }
        for row in &page.omitted {
            self.note(&format!(
                "{} is not shown: its {} has {} bytes, the limit is {}",
                row.id, row.field, row.bytes, row.limit
            ));
        }
        self.table(R::HEADERS, page.items.iter().map(|item| row(item).cells()))?;
        match next {
            Some(cursor) => self.note(&format!("next page: --after {cursor}")),
            None if page.items.is_empty() && page.omitted.is_empty() => self.note("nothing found"),
            None => {}
        }
        Ok(())
    }

    /// Writes aligned columns under their headers; nothing at all without rows.
    pub(crate) fn table(
        self,
        headers: &[&str],
        rows: impl Iterator<Item = Vec<Cell>>,
    ) -> Result<(), Failure> {
        let rows: Vec<Vec<(String, Style)>> = rows
            .map(|row| row.iter().map(|cell| self.shown(cell)).collect())
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let header = headers
            .iter()
            .map(|header| ((*header).to_owned(), Style::new().bold()))
            .collect();
        self.lines(&[vec![header], rows].concat())
    }

    /// Writes one thing, a line for each of its fields.
    pub(crate) fn sides(self, sides: &[(&str, Cell)]) -> Result<(), Failure> {
        let sides: Vec<_> = sides
            .iter()
            .map(|(name, cell)| {
                let whole = Self {
                    is_full: true,
                    ..self
                };
                let name = ((*name).to_owned(), Style::new().bold());
                vec![name, whole.shown(cell)]
            })
            .collect();
        self.lines(&sides)
    }

    fn shown(self, cell: &Cell) -> (String, Style) {
        match cell {
            Cell::Whole(text) => (escaped(text), Style::new()),
            Cell::Status(text) => (escaped(text), status_style(text)),
            Cell::Long(text) | Cell::Brief(text) if self.is_full => (escaped(text), Style::new()),
            // Cut first: a text of many megabytes isn't escaped to show its beginning.
            Cell::Long(text) => (escaped(&cut(text, LONG)), Style::new()),
            Cell::Brief(text) => (escaped(&cut(text, BRIEF)), Style::new()),
        }
    }

    fn lines(self, rows: &[Vec<(String, Style)>]) -> Result<(), Failure> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| width(column).unwrap_or(0))
            .collect();
        let mut stream = anstream::AutoStream::auto(io::stdout()).lock();
        for row in rows {
            let last = row.len().saturating_sub(1);
            for (column, ((text, style), width)) in row.iter().zip(&widths).enumerate() {
                write!(stream, "{style}{text}{style:#}")?;
                if column < last {
                    let gap = width.saturating_sub(text.chars().count()) + 2;
                    write!(stream, "{:gap$}", "")?;
                }
            }
            writeln!(stream)?;
        }
        Ok(stream.flush()?)
    }

    /// Writes one JSON document, in one line.
    pub(crate) fn document(self, value: &impl Display) -> Result<(), Failure> {
        let mut stream = io::stdout().lock();
        writeln!(stream, "{value}")?;
        Ok(stream.flush()?)
    }

    /// Writes what a verb did: a sentence, or a JSON document.
    pub(crate) fn done(self, sentence: &str, value: &Value) -> Result<(), Failure> {
        if self.is_json {
            return self.document(value);
        }
        let mut stream = io::stdout().lock();
        writeln!(stream, "{}", escaped(sentence))?;
        Ok(stream.flush()?)
    }

    /// Writes one line to standard error, beside the result; `--json` has it in the document.
    pub(crate) fn note(self, text: &str) {
        if !self.is_json {
            self.say(&format!("descartes-state: {}", escaped(text)));
        }
    }

    /// Writes one JSON document to standard error, where standard output belongs to somebody else.
    pub(crate) fn aside(self, value: &Value) {
        self.say(&value.to_string());
    }

    /// Ends a line on standard error that somebody else has begun.
    pub(crate) fn begin_line(self) {
        self.say("");
    }

    /// Writes one line to standard error; returns the exit code.
    pub(crate) fn failure(self, failure: &Failure) -> ExitCode {
        if failure.kind != Kind::ReaderGone {
            self.complain(failure);
        }
        ExitCode::from(failure.kind.code())
    }

    pub(crate) fn complain(self, failure: &Failure) {
        let Failure { kind, message } = failure;
        if self.is_json {
            let error = json!({ "kind": kind.as_str(), "message": message });
            self.aside(&json!({ "error": error }));
        } else {
            self.say(&format!("descartes-state: {}", escaped(message)));
        }
    }

    /// Writes a line in one piece, so that the command's own lines stay whole.
    fn say(self, line: &str) {
        let text = if self.is_beside_raw {
            format!("\r\n{line}\r\n")
        } else {
            format!("{line}\n")
        };
        // Where standard error is gone, there is nobody left to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

fn status_style(status: &str) -> Style {
    let colour = match status {
        "running" | "active" | "in_progress" => AnsiColor::Cyan,
        "completed" | "done" => AnsiColor::Green,
        "failed" | "dead" | "abandoned" => AnsiColor::Red,
        "terminated" | "blocked" | "suspended" | "paused" => AnsiColor::Yellow,
        _ => return Style::new(),
    };
    colour.on_default()
}

/// Spans and events of the library on standard error, where `RUST_LOG` asks for them.
pub(crate) fn trace_where_asked() -> Result<(), Failure> {
    let asked = std::env::var_os(EnvFilter::DEFAULT_ENV).is_some_and(|value| !value.is_empty());
    if !asked {
        return Ok(());
    }
    let filter = EnvFilter::try_from_default_env()
        .map_err(|error| Failure::new(Kind::Usage, format!("RUST_LOG: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .try_init()
        .map_err(|error| Failure::new(Kind::Other, error.to_string()))
}
