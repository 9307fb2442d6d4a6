//! The operations on a rusqlite connection, as one writes them by hand: for `rusqlite` itself, and inside
//! `tokio-rusqlite` and `deadpool-sqlite`.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use harness::{
    ActorType, Agent, AgentRecord, Body, Durability, Event, EventRecord, Inputs, Operation, Setup,
    Task, Transition, TransitionRecord, UnixTime, decode_body, encode_body, pragmas, statements,
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

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
    let is_one_statement = !matches!(
        operation,
        Operation::AppendIndexed(_) | Operation::AppendAll(_) | Operation::FourAggregates { .. }
    );
    if is_one_statement {
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
    if matches!(
        operation,
        Operation::AppendIndexed(_) | Operation::AppendAll(_)
    ) {
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
        Operation::List(page) => list(connection, &Inputs::before_page(*page)),
        Operation::History(agent) => history(connection, &inputs.agents[*agent].agent_id),
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

fn list(connection: &Connection, after: &str) -> Result<usize> {
    let mut statement = connection.prepare_cached(statements::LIST_AGENTS)?;
    let mut rows = statement.query([NAMESPACE, after])?;
    let mut page = Vec::with_capacity(101);
    while let Some(row) = rows.next()? {
        page.push(decode_agent(row)?);
    }
    page.truncate(100);
    Ok(black_box(page).len())
}

fn history(connection: &Connection, agent_id: &str) -> Result<usize> {
    let mut statement = connection.prepare_cached(statements::HISTORY)?;
    let mut rows = statement.query([NAMESPACE, agent_id])?;
    let mut page = Vec::with_capacity(101);
    while let Some(row) = rows.next()? {
        page.push(decode_transition(row)?);
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

fn decode_agent(row: &Row<'_>) -> Result<AgentRecord> {
    let codec = row.get(7)?;
    Ok(AgentRecord {
        key: row.get(0)?,
        namespace: row.get(1)?,
        agent: Agent {
            agent_id: row.get(2)?,
            name: row.get(3)?,
            status: row.get(4)?,
            metadata: serde_json::from_str(row.get_ref(5)?.as_str()?)?,
            state_data: body(row, 6, codec)?,
            version: row.get(8)?,
            created_at: row.get(9)?,
            updated_at: row.get(10)?,
        },
        codec,
        is_deleted: row.get(11)?,
        revision: row.get(12)?,
        recorded_at: row.get(13)?,
    })
}

fn body(row: &Row<'_>, column: usize, codec: i64) -> Result<String> {
    match row.get_ref(column)? {
        ValueRef::Text(text) if codec == 0 => decode_body(codec, text.to_vec()),
        ValueRef::Blob(bytes) if codec != 0 => decode_body(codec, bytes.to_vec()),
        other => {
            let found = Value::try_from(other)?;
            anyhow::bail!("codec {codec} over {found:?}")
        }
    }
}

fn decode_event(row: &Row<'_>) -> Result<EventRecord> {
    Ok(EventRecord {
        seq: row.get(0)?,
        namespace: row.get(1)?,
        event: Event {
            id: Uuid::parse_str(row.get_ref(2)?.as_str()?)?,
            event_type: row.get(3)?,
            timestamp: row.get(4)?,
            session_id: row.get(5)?,
            actor_type: ActorType::parse(row.get_ref(6)?.as_str()?)?,
            actor_id: row.get(7)?,
            content: row.get(8)?,
            metadata: json(row, 9)?,
            git_commit: row.get(10)?,
        },
        created_at: row.get(11)?,
        recorded_at: row.get(12)?,
    })
}

fn decode_transition(row: &Row<'_>) -> Result<TransitionRecord> {
    Ok(TransitionRecord {
        seq: row.get(0)?,
        namespace: row.get(1)?,
        id: Uuid::parse_str(row.get_ref(2)?.as_str()?)?,
        transition: Transition {
            agent_id: row.get(3)?,
            state_before: body(row, 4, row.get(5)?)?,
            state_after: body(row, 6, row.get(7)?)?,
            reason: row.get(8)?,
            metadata: json(row, 10)?,
        },
        timestamp: row.get(9)?,
        recorded_at: row.get(11)?,
    })
}

fn json(row: &Row<'_>, column: usize) -> Result<Option<serde_json::Value>> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()?
        .map(serde_json::from_str)
        .transpose()?)
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
