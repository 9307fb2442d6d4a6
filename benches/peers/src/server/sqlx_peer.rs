//! `sqlx`, tuned: statements cached, no test before use.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use harness::{Agent, Contestant, Event, Inputs, Operation, STEP_REASON, Setup, UnixTime, text_of};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use super::{CONNECTIONS, statements};

#[derive(Clone)]
pub(super) struct SqlxPeer {
    pool: PgPool,
    setup: Arc<Setup>,
}

impl SqlxPeer {
    pub(super) async fn open(url: &str, setup: Setup) -> Result<Self> {
        let connections = u32::try_from(CONNECTIONS)?;
        let pool = PgPoolOptions::new()
            .test_before_acquire(false)
            .min_connections(connections)
            .max_connections(connections)
            .connect(url)
            .await?;
        let setup = Arc::new(setup);
        Ok(Self { pool, setup })
    }
}

impl Contestant for SqlxPeer {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        let (pool, inputs) = (&self.pool, &*self.setup.inputs);
        match operation {
            Operation::Save(agent) => {
                save(pool, &inputs.agents[agent]).await?;
                Ok(1)
            }
            Operation::Append(event) | Operation::AppendIndexed(event) => {
                append(pool, &event).await?;
                Ok(1)
            }
            Operation::AppendAll(events) => append_all(pool, &events).await,
            Operation::Step { agent, event } => {
                let agent = &inputs.agents[agent];
                let mut transaction = pool.begin().await?;
                record_step(&mut *transaction, agent).await?;
                save(&mut *transaction, agent).await?;
                append(&mut *transaction, &event).await?;
                transaction.commit().await?;
                Ok(3)
            }
            Operation::Load(agent) => {
                let row = sqlx::query(statements::LOAD_AGENT)
                    .bind(&inputs.agents[agent].agent_id)
                    .fetch_optional(pool)
                    .await?;
                let found = row.as_ref().map(agent_of).transpose()?;
                Ok(usize::from(black_box(found).is_some()))
            }
            Operation::States(page) => {
                let after = Inputs::before_page(page);
                page_of(pool, statements::LIST_STATES, &after, state_of).await
            }
            Operation::History(agent) => {
                let id = &inputs.agents[agent].agent_id;
                page_of(pool, statements::HISTORY, id, transition_of).await
            }
            Operation::Search => {
                page_of(pool, statements::MATCH_EVENTS, inputs.word(), event_of).await
            }
            Operation::List(_) | Operation::FourAggregates { .. } => bail!("not compared here"),
        }
    }

    async fn close(self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

async fn save(executor: impl PgExecutor<'_>, agent: &Agent) -> Result<i64> {
    let row = sqlx::query(statements::SAVE_AGENT)
        .bind(&agent.agent_id)
        .bind(&agent.name)
        .bind(&agent.status)
        .bind(serde_json::to_string(&agent.metadata)?)
        .bind(agent.state_data.as_bytes())
        .bind(agent.version)
        .bind(agent.created_at)
        .bind(agent.updated_at)
        .bind(UnixTime::now().micros)
        .fetch_one(executor)
        .await?;
    Ok(row.try_get(0)?)
}

async fn record_step(executor: impl PgExecutor<'_>, agent: &Agent) -> Result<()> {
    let now = UnixTime::now();
    let done = sqlx::query(statements::RECORD_STEP)
        .bind(&agent.agent_id)
        .bind(Uuid::now_v7().to_string())
        .bind(agent.state_data.as_bytes())
        .bind(STEP_REASON)
        .bind(now.seconds)
        .bind(now.micros)
        .execute(executor)
        .await?;
    ensure!(done.rows_affected() == 1, "{} is missing", agent.agent_id);
    Ok(())
}

async fn append(executor: impl PgExecutor<'_>, event: &Event) -> Result<i64> {
    let now = UnixTime::now();
    let row = sqlx::query(statements::APPEND_EVENT)
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
        .fetch_one(executor)
        .await?;
    Ok(row.try_get(0)?)
}

async fn append_all(pool: &PgPool, events: &[Event]) -> Result<usize> {
    let now = UnixTime::now();
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    let texts = |text: fn(&Event) -> &str| -> Vec<&str> { events.iter().map(text).collect() };
    let metadata = events.iter().map(|event| text_of(event.metadata.as_ref()));
    let times: Vec<i64> = events.iter().map(|event| event.timestamp).collect();
    let commits: Vec<_> = events
        .iter()
        .map(|event| event.git_commit.as_deref())
        .collect();
    let rows = sqlx::query(statements::APPEND_EVENTS)
        .bind(ids)
        .bind(texts(|event| &event.event_type))
        .bind(times)
        .bind(texts(|event| &event.session_id))
        .bind(texts(|event| event.actor_type.as_str()))
        .bind(texts(|event| &event.actor_id))
        .bind(texts(|event| &event.content))
        .bind(metadata.collect::<Result<Vec<_>>>()?)
        .bind(commits)
        .bind(now.seconds)
        .bind(now.micros)
        .fetch_all(pool)
        .await?;
    Ok(rows.len())
}

async fn page_of<T>(
    pool: &PgPool,
    statement: &'static str,
    of: &str,
    decode: fn(&PgRow) -> Result<T>,
) -> Result<usize> {
    let rows = sqlx::query(statement).bind(of).fetch_all(pool).await?;
    let mut page = rows.iter().map(decode).collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

harness::decoders!(PgRow);
