//! The operations on a rusqlite connection, as one writes them by hand: for `rusqlite` itself, and inside
//! `tokio-rusqlite` and `deadpool-sqlite`.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use harness::{
    Agent, AgentRecord, Body, Durability, Event, Inputs, Operation, STEP_REASON, Setup, Task,
    Transition, UnixTime, encode_body, pragmas, statements,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

use super::raw_rows::{decode_agent, decode_event, decode_state, decode_transition};

/// Nobody writes under a prefix here; the column is there all the same.
const NAMESPACE: &str = "";

/// # Errors
/// SQLite's own.
pub(super) fn configure(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    for (name, value) in pragmas(durability) {
        connection.execute_batch(&format!("PRAGMA {name} = {value};"))?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Does one operation in a transaction of its own: by autocommit where that is one statement.
pub(super) fn perform(
    connection: &Connection,
    setup: &Setup,
    operation: &Operation,
) -> Result<usize> {
    // What has several statements has an event, and a second statement that indexes it.
    if !operation.indexes() {
        return within(connection, setup, operation);
    }
    transaction(connection, |connection| {
        let rows = within(connection, setup, operation)?;
        finish(connection, operation)?;
        Ok(rows)
    })
}

pub(super) fn transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    execute(connection, statements::BEGIN)?;
    let result = work(connection).and_then(|value| {
        execute(connection, statements::COMMIT)?;
        Ok(value)
    });
    if result.is_err() && !connection.is_autocommit() {
        execute(connection, statements::ROLLBACK)?;
    }
    result
}

/// What has to be done before a commit, if the operation asks for it.
pub(super) fn finish(connection: &Connection, operation: &Operation) -> Result<()> {
    if operation.indexes() {
        execute(connection, statements::INDEX_EVENTS)?;
    }
    Ok(())
}

fn execute(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Does one operation in whatever transaction there is.
pub(super) fn within(
    connection: &Connection,
    setup: &Setup,
    operation: &Operation,
) -> Result<usize> {
    let inputs = &*setup.inputs;
    match operation {
        Operation::Save(agent) => {
            save(connection, &inputs.agents[*agent], setup.compress)?;
            Ok(1)
        }
        Operation::Append(event) | Operation::AppendIndexed(event) => {
            append(connection, event)?;
            Ok(1)
        }
        Operation::AppendAll(events) => {
            for event in events {
                append(connection, event)?;
            }
            Ok(events.len())
        }
        Operation::Load(agent) => {
            let found = load(connection, &inputs.agents[*agent].agent_id)?;
            Ok(usize::from(black_box(found).is_some()))
        }
        Operation::List(page) => {
            let after = Inputs::before_page(*page);
            page_of(connection, statements::LIST_AGENTS, &after, decode_agent)
        }
        Operation::States(page) => {
            let after = Inputs::before_page(*page);
            page_of(connection, statements::LIST_STATES, &after, decode_state)
        }
        Operation::History(agent) => {
            let agent_id = &inputs.agents[*agent].agent_id;
            page_of(connection, statements::HISTORY, agent_id, decode_transition)
        }
        Operation::Search => {
            let pattern = format!("%{}%", inputs.word());
            events(connection, statements::SEARCH_EVENTS, &pattern)
        }
        Operation::FourAggregates {
            agent,
            transition,
            event,
            task,
        } => {
            save(connection, &inputs.agents[*agent], setup.compress)?;
            record(connection, &inputs.transitions[*transition])?;
            append(connection, event)?;
            save_task(connection, &inputs.tasks[*task])?;
            Ok(4)
        }
        Operation::Step { agent, event } => {
            let agent = &inputs.agents[*agent];
            record_step(connection, agent, setup.compress)?;
            save(connection, agent, setup.compress)?;
            append(connection, event)?;
            Ok(3)
        }
    }
}

/// Gives the new revision.
fn save(connection: &Connection, agent: &Agent, compress: bool) -> Result<i64> {
    let body = encode_body(&agent.state_data, compress)?;
    let metadata = serde_json::to_string(&agent.metadata)?;
    let row = params![
        agent.agent_id,
        NAMESPACE,
        agent.agent_id,
        agent.name,
        agent.status,
        metadata,
        BoundBody(&body),
        body.codec(),
        agent.version,
        agent.created_at,
        agent.updated_at,
        UnixTime::now().micros,
    ];
    if connection.is_autocommit() {
        return returning(connection, statements::SAVE_AGENT_RETURNING, row);
    }
    connection
        .prepare_cached(statements::SAVE_AGENT)?
        .execute(row)?;
    returning(
        connection,
        statements::AGENT_REVISION,
        params![agent.agent_id],
    )
}

/// The one number that a statement returns. `query_one` steps to the end, where an autocommit may still fail.
fn returning(connection: &Connection, sql: &str, parameters: &[&dyn ToSql]) -> Result<i64> {
    Ok(connection
        .prepare_cached(sql)?
        .query_one(parameters, |row| row.get(0))?)
}

struct BoundBody<'a>(&'a Body<'a>);

impl ToSql for BoundBody<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Body::Text(text) => ValueRef::Text(text.as_bytes()),
            Body::Zstd(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Gives the sequence number.
fn append(connection: &Connection, event: &Event) -> Result<i64> {
    let now = UnixTime::now();
    let metadata = event
        .metadata
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?;
    connection
        .prepare_cached(statements::APPEND_EVENT)?
        .execute(params![
            NAMESPACE,
            event.id.to_string(),
            event.event_type,
            event.timestamp,
            event.session_id,
            event.actor_type.as_str(),
            event.actor_id,
            event.content,
            metadata,
            event.git_commit,
            now.seconds,
            now.micros,
        ])?;
    Ok(connection.last_insert_rowid())
}

fn record(connection: &Connection, transition: &Transition) -> Result<i64> {
    let now = UnixTime::now();
    let metadata = transition
        .metadata
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?;
    connection
        .prepare_cached(statements::RECORD_TRANSITION)?
        .execute(params![
            NAMESPACE,
            Uuid::now_v7().to_string(),
            transition.agent_id,
            transition.state_before,
            0,
            transition.state_after,
            0,
            transition.reason,
            now.seconds,
            metadata,
            now.micros,
        ])?;
    Ok(connection.last_insert_rowid())
}

/// Gives the sequence number.
fn record_step(connection: &Connection, agent: &Agent, compress: bool) -> Result<i64> {
    let now = UnixTime::now();
    let body = encode_body(&agent.state_data, compress)?;
    let recorded = connection
        .prepare_cached(statements::RECORD_STEP)?
        .execute(params![
            agent.agent_id,
            Uuid::now_v7().to_string(),
            BoundBody(&body),
            body.codec(),
            STEP_REASON,
            now.seconds,
            now.micros,
        ])?;
    ensure!(recorded == 1, "{} is missing", agent.agent_id);
    Ok(connection.last_insert_rowid())
}

fn save_task(connection: &Connection, task: &Task) -> Result<i64> {
    let metadata = task
        .metadata
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?;
    let id = task.id.to_string();
    let row = params![
        NAMESPACE,
        id,
        task.title,
        task.description,
        task.status,
        task.assigned_to,
        task.created_at,
        task.updated_at,
        metadata,
        UnixTime::now().micros,
    ];
    if connection.is_autocommit() {
        return returning(connection, statements::SAVE_TASK_RETURNING, row);
    }
    connection
        .prepare_cached(statements::SAVE_TASK)?
        .execute(row)?;
    returning(
        connection,
        statements::TASK_REVISION,
        params![NAMESPACE, id],
    )
}

fn load(connection: &Connection, key: &str) -> Result<Option<AgentRecord>> {
    let mut statement = connection.prepare_cached(statements::LOAD_AGENT)?;
    statement
        .query_row([key], |row| Ok(decode_agent(row)))
        .optional()?
        .transpose()
}

/// A page of 100, of which the statement returns one row more where there is one.
fn page_of<T>(
    connection: &Connection,
    sql: &str,
    after: &str,
    decode: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([NAMESPACE, after])?;
    let mut page = Vec::with_capacity(101);
    while let Some(row) = rows.next()? {
        page.push(decode(row)?);
    }
    page.truncate(100);
    Ok(black_box(page).len())
}

/// The newest hundred events that a statement finds.
pub(super) fn events(connection: &Connection, sql: &str, text: &str) -> Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([NAMESPACE, text])?;
    let mut page = Vec::with_capacity(100);
    while let Some(row) = rows.next()? {
        page.push(decode_event(row)?);
    }
    Ok(black_box(page).len())
}

/// Refuses a file whose pragmas didn't take.
pub(super) fn check(connection: &Connection, durability: Durability) -> Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    ensure!(mode == "wal", "journal mode {mode}");
    let wanted = match durability {
        Durability::Full => 2,
        Durability::Relaxed => 1,
    };
    let synchronous: i64 = connection
        .query_row("PRAGMA synchronous", [], |row| row.get(0))
        .context("synchronous")?;
    ensure!(synchronous == wanted, "synchronous is {synchronous}");
    Ok(())
}
