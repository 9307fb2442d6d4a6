//! Whether the file holds what a contestant was told is written. Another process looks than the one that wrote.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::{Acknowledged, Action, Workload};
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

/// What the full-text index must hold afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexing {
    /// What it held before.
    Untouched,
    /// Every event.
    Whole,
}

impl Indexing {
    pub(crate) fn of(contestant: &str, workload: &Workload) -> Self {
        // Our store indexes every event.
        if contestant.starts_with("descartes-state") || workload.action.indexes() {
            Self::Whole
        } else {
            Self::Untouched
        }
    }
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

/// Compares the file with what it was before and what was acknowledged since.
pub(crate) fn check(
    before: Contents,
    path: &Path,
    acknowledged: Acknowledged,
    indexing: Indexing,
) -> Result<()> {
    let after = contents(path)?;
    let grown = |by: u64| i64::try_from(by).unwrap_or(i64::MAX);
    let events = before.events + grown(acknowledged.events);
    let wanted = Contents {
        agents: before.agents,
        agent_revisions: before.agent_revisions + grown(acknowledged.agents),
        transitions: before.transitions + grown(acknowledged.transitions),
        events,
        indexed_events: match indexing {
            Indexing::Untouched => before.indexed_events,
            Indexing::Whole => events,
        },
        task_revisions: before.task_revisions + grown(acknowledged.tasks),
    };
    ensure!(
        after == wanted,
        "writes are missing or too many: {after:?}, not {wanted:?}"
    );
    Ok(())
}

/// Follows each agent from step to step: from the state that it had in the file before, by transitions that each begin where
/// the last one ended, to the state that it has.
pub(crate) fn check_steps(before: &Path, path: &Path, workload: &Workload) -> Result<()> {
    if workload.action != Action::Step {
        return Ok(());
    }
    let connection = Connection::open(path).with_context(|| format!("{}", path.display()))?;
    connection.execute("ATTACH ?1 AS before", [before.to_string_lossy()])?;
    let broken: i64 = connection.query_row(
        "SELECT count(*) FROM (
            SELECT state_before, agents_before.state_data AS first, lag(state_after) OVER steps AS previous,
                state_after, agents.state_data AS last, lead(state_before) OVER steps AS next
            FROM main.state_transitions
            JOIN main.agent_states AS agents USING (agent_id)
            JOIN before.agent_states AS agents_before USING (agent_id)
            WINDOW steps AS (PARTITION BY agent_id ORDER BY seq)
        ) WHERE state_before <> coalesce(previous, first) OR state_after <> coalesce(next, last)",
        [],
        |row| row.get(0),
    )?;
    ensure!(
        broken == 0,
        "{broken} transitions don't lead from state to state"
    );
    Ok(())
}
