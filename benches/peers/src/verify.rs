//! Whether the file holds what a contestant was told is written. Another process looks than the one that wrote.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::Acknowledged;
use rusqlite::Connection;

/// What a file holds, as far as contestants change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    agents: i64,
    agent_revisions: i64,
    transitions: i64,
    events: i64,
    indexed_events: i64,
    task_revisions: i64,
}

pub(crate) fn contents(path: &Path) -> Result<Contents> {
    let connection = Connection::open(path).with_context(|| format!("{}", path.display()))?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok(Contents {
        agents: number("SELECT count(*) FROM agent_states")?,
        agent_revisions: number("SELECT coalesce(sum(revision), 0) FROM agent_states")?,
        transitions: number("SELECT count(*) FROM state_transitions")?,
        events: number("SELECT count(*) FROM events")?,
        indexed_events: number("SELECT count(*) FROM events_search_docsize")?,
        task_revisions: number("SELECT coalesce(sum(revision), 0) FROM tasks")?,
    })
}

/// Compares the file with what it was before and what was acknowledged since. `indexes` is whether new events must be
/// in the full-text index.
pub(crate) fn check(
    before: Contents,
    path: &Path,
    acknowledged: Acknowledged,
    indexes: bool,
) -> Result<()> {
    let after = contents(path)?;
    let grown = |by: u64| i64::try_from(by).unwrap_or(i64::MAX);
    let events = before.events + grown(acknowledged.events);
    let wanted = Contents {
        agents: before.agents,
        agent_revisions: before.agent_revisions + grown(acknowledged.agents),
        transitions: before.transitions + grown(acknowledged.transitions),
        events,
        indexed_events: if indexes {
            events
        } else {
            before.indexed_events
        },
        task_revisions: before.task_revisions + grown(acknowledged.tasks),
    };
    ensure!(
        after == wanted,
        "writes are missing or too many: {after:?}, not {wanted:?}"
    );
    Ok(())
}
