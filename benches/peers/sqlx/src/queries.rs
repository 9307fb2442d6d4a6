//! The operations in sqlx's words; the SQL is what every hand-written contestant uses.
//!
//! Writes are fetched to their end: `fetch_one` returns the row of `RETURNING` before SQLite has committed.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use harness::{
    Agent, Body, Event, Inputs, Operation, STEP_REASON, Setup, Task, Transition, UnixTime,
    encode_body, statements, text_of,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, SqliteExecutor, SqlitePool, Transaction};
use uuid::Uuid;

use crate::rows;

const NAMESPACE: &str = "";

/// Does one operation in a transaction of its own: by autocommit where that is one statement.
pub(crate) async fn perform(
    writer: &SqlitePool,
    readers: &SqlitePool,
    setup: &Setup,
    operation: Operation,
) -> Result<usize> {
    let inputs = &*setup.inputs;
    match operation {
        Operation::Save(agent) => {
            save(writer, &inputs.agents[agent], setup.compress).await?;
            Ok(1)
        }
        Operation::Append(event) => {
            append(writer, &event).await?;
            Ok(1)
        }
        Operation::AppendIndexed(event) => {
            let mut transaction = begin(writer).await?;
            append(&mut *transaction, &event).await?;
            index(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(1)
        }
        Operation::AppendAll(events) => {
            let mut transaction = begin(writer).await?;
            for event in &events {
                append(&mut *transaction, event).await?;
            }
            index(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(events.len())
        }
        Operation::Load(agent) => load(readers, &inputs.agents[agent].agent_id).await,
        Operation::List(page) => list(readers, &Inputs::before_page(page)).await,
        Operation::States(page) => states(readers, &Inputs::before_page(page)).await,
        Operation::History(agent) => history(readers, &inputs.agents[agent].agent_id).await,
        Operation::Search => search(readers, inputs.word()).await,
        Operation::FourAggregates {
            agent,
            transition,
            event,
            task,
        } => {
            let mut transaction = begin(writer).await?;
            save(&mut *transaction, &inputs.agents[agent], setup.compress).await?;
            record(&mut *transaction, &inputs.transitions[transition]).await?;
            append(&mut *transaction, &event).await?;
            save_task(&mut *transaction, &inputs.tasks[task]).await?;
            index(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(4)
        }
        Operation::Step { agent, event } => {
            let agent = &inputs.agents[agent];
            let mut transaction = begin(writer).await?;
            record_step(&mut *transaction, agent, setup.compress).await?;
            save(&mut *transaction, agent, setup.compress).await?;
            append(&mut *transaction, &event).await?;
            index(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(3)
        }
    }
}

async fn begin(writer: &SqlitePool) -> Result<Transaction<'_, Sqlite>> {
    Ok(writer.begin_with(statements::BEGIN).await?)
}

async fn save(executor: impl SqliteExecutor<'_>, agent: &Agent, compress: bool) -> Result<i64> {
    let body = encode_body(&agent.state_data, compress)?;
    let codec = body.codec();
    let query = sqlx::query(statements::SAVE_AGENT_RETURNING)
        .bind(&agent.agent_id)
        .bind(NAMESPACE)
        .bind(&agent.agent_id)
        .bind(&agent.name)
        .bind(&agent.status)
        .bind(serde_json::to_string(&agent.metadata)?);
    let query = match body {
        Body::Text(text) => query.bind(text),
        Body::Zstd(bytes) => query.bind(bytes),
    };
    let rows = query
        .bind(codec)
        .bind(agent.version)
        .bind(agent.created_at)
        .bind(agent.updated_at)
        .bind(UnixTime::now().micros)
        .fetch_all(executor)
        .await?;
    only(&rows)
}

async fn append(executor: impl SqliteExecutor<'_>, event: &Event) -> Result<i64> {
    let now = UnixTime::now();
    let done = sqlx::query(statements::APPEND_EVENT)
        .bind(NAMESPACE)
        .bind(event.id.to_string())
        .bind(&event.event_type)
        .bind(event.timestamp)
        .bind(&event.session_id)
        .bind(event.actor_type.as_str())
        .bind(&event.actor_id)
        .bind(&event.content)
        .bind(text_of(event.metadata.as_ref())?)
        .bind(event.git_commit.as_deref())
        .bind(now.seconds)
        .bind(now.micros)
        .execute(executor)
        .await?;
    Ok(done.last_insert_rowid())
}

async fn index(executor: impl SqliteExecutor<'_>) -> Result<()> {
    sqlx::query(statements::INDEX_EVENTS)
        .execute(executor)
        .await?;
    Ok(())
}

async fn record(executor: impl SqliteExecutor<'_>, transition: &Transition) -> Result<i64> {
    let now = UnixTime::now();
    let done = sqlx::query(statements::RECORD_TRANSITION)
        .bind(NAMESPACE)
        .bind(Uuid::now_v7().to_string())
        .bind(&transition.agent_id)
        .bind(&transition.state_before)
        .bind(0_i64)
        .bind(&transition.state_after)
        .bind(0_i64)
        .bind(transition.reason.as_deref())
        .bind(now.seconds)
        .bind(text_of(transition.metadata.as_ref())?)
        .bind(now.micros)
        .execute(executor)
        .await?;
    Ok(done.last_insert_rowid())
}

async fn record_step(
    executor: impl SqliteExecutor<'_>,
    agent: &Agent,
    compress: bool,
) -> Result<i64> {
    let now = UnixTime::now();
    let body = encode_body(&agent.state_data, compress)?;
    let codec = body.codec();
    let query = sqlx::query(statements::RECORD_STEP)
        .bind(&agent.agent_id)
        .bind(Uuid::now_v7().to_string());
    let query = match body {
        Body::Text(text) => query.bind(text),
        Body::Zstd(bytes) => query.bind(bytes),
    };
    let done = query
        .bind(codec)
        .bind(STEP_REASON)
        .bind(now.seconds)
        .bind(now.micros)
        .execute(executor)
        .await?;
    ensure!(done.rows_affected() == 1, "{} is missing", agent.agent_id);
    Ok(done.last_insert_rowid())
}

async fn save_task(executor: impl SqliteExecutor<'_>, task: &Task) -> Result<i64> {
    let rows = sqlx::query(statements::SAVE_TASK_RETURNING)
        .bind(NAMESPACE)
        .bind(task.id.to_string())
        .bind(&task.title)
        .bind(task.description.as_deref())
        .bind(&task.status)
        .bind(task.assigned_to.as_deref())
        .bind(task.created_at)
        .bind(task.updated_at)
        .bind(text_of(task.metadata.as_ref())?)
        .bind(UnixTime::now().micros)
        .fetch_all(executor)
        .await?;
    only(&rows)
}

/// The number that `RETURNING` returned.
fn only(rows: &[SqliteRow]) -> Result<i64> {
    let row = rows.first().context("the statement returned no row")?;
    Ok(row.try_get(0)?)
}

async fn load(readers: &SqlitePool, key: &str) -> Result<usize> {
    let found = sqlx::query(statements::LOAD_AGENT)
        .bind(key)
        .fetch_optional(readers)
        .await?
        .map(|row| rows::agent_of(&row))
        .transpose()?;
    Ok(usize::from(black_box(found).is_some()))
}

async fn list(readers: &SqlitePool, after: &str) -> Result<usize> {
    let mut page = sqlx::query(statements::LIST_AGENTS)
        .bind(NAMESPACE)
        .bind(after)
        .fetch_all(readers)
        .await?
        .iter()
        .map(rows::agent_of)
        .collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

async fn states(readers: &SqlitePool, after: &str) -> Result<usize> {
    let mut page = sqlx::query(statements::LIST_STATES)
        .bind(NAMESPACE)
        .bind(after)
        .fetch_all(readers)
        .await?
        .iter()
        .map(rows::state_of)
        .collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

async fn history(readers: &SqlitePool, agent_id: &str) -> Result<usize> {
    let mut page = sqlx::query(statements::HISTORY)
        .bind(NAMESPACE)
        .bind(agent_id)
        .fetch_all(readers)
        .await?
        .iter()
        .map(rows::transition_of)
        .collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

async fn search(readers: &SqlitePool, word: &str) -> Result<usize> {
    let page = sqlx::query(statements::SEARCH_EVENTS)
        .bind(NAMESPACE)
        .bind(format!("%{word}%"))
        .fetch_all(readers)
        .await?
        .iter()
        .map(rows::event_of)
        .collect::<Result<Vec<_>>>()?;
    Ok(black_box(page).len())
}
