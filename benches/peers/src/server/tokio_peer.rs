//! `tokio-postgres` through `deadpool-postgres`, statements cached, no test before use.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use deadpool_postgres::{GenericClient, Manager, ManagerConfig, Pool, RecyclingMethod};
use harness::{Agent, Contestant, Event, Inputs, Operation, STEP_REASON, Setup, UnixTime, text_of};
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

use super::{CONNECTIONS, statements};

#[derive(Clone)]
pub(super) struct TokioPeer {
    pool: Pool,
    setup: Arc<Setup>,
}

impl TokioPeer {
    pub(super) async fn open(url: &str, setup: Setup) -> Result<Self> {
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(url.parse()?, NoTls, config);
        let pool = Pool::builder(manager).max_size(CONNECTIONS).build()?;
        let setup = Arc::new(setup);
        Ok(Self { pool, setup })
    }
}

impl Contestant for TokioPeer {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        let inputs = &*self.setup.inputs;
        let mut client = self.pool.get().await?;
        match operation {
            Operation::Save(agent) => {
                save(&client, &inputs.agents[agent]).await?;
                Ok(1)
            }
            Operation::Append(event) | Operation::AppendIndexed(event) => {
                append(&client, &event).await?;
                Ok(1)
            }
            Operation::AppendAll(events) => append_all(&client, &events).await,
            Operation::Step { agent, event } => {
                let agent = &inputs.agents[agent];
                let transaction = client.transaction().await?;
                record_step(&transaction, agent).await?;
                save(&transaction, agent).await?;
                append(&transaction, &event).await?;
                transaction.commit().await?;
                Ok(3)
            }
            Operation::Load(agent) => {
                let statement = client.prepare_cached(statements::LOAD_AGENT).await?;
                let id = &inputs.agents[agent].agent_id;
                let row = client.query_opt(&statement, &[id]).await?;
                let found = row.as_ref().map(agent_of).transpose()?;
                Ok(usize::from(black_box(found).is_some()))
            }
            Operation::States(page) => {
                let after = Inputs::before_page(page);
                page_of(&client, statements::LIST_STATES, &after, state_of).await
            }
            Operation::History(agent) => {
                let id = &inputs.agents[agent].agent_id;
                page_of(&client, statements::HISTORY, id, transition_of).await
            }
            Operation::Search => {
                page_of(&client, statements::MATCH_EVENTS, inputs.word(), event_of).await
            }
            Operation::List(_) | Operation::FourAggregates { .. } => bail!("not compared here"),
        }
    }

    async fn close(self) -> Result<()> {
        self.pool.close();
        Ok(())
    }
}

async fn save(client: &impl GenericClient, agent: &Agent) -> Result<i64> {
    let statement = client.prepare_cached(statements::SAVE_AGENT).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &agent.agent_id,
                &agent.name,
                &agent.status,
                &serde_json::to_string(&agent.metadata)?,
                &agent.state_data.as_bytes(),
                &agent.version,
                &agent.created_at,
                &agent.updated_at,
                &UnixTime::now().micros,
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

async fn record_step(client: &impl GenericClient, agent: &Agent) -> Result<()> {
    let now = UnixTime::now();
    let statement = client.prepare_cached(statements::RECORD_STEP).await?;
    let rows = client
        .execute(
            &statement,
            &[
                &agent.agent_id,
                &Uuid::now_v7().to_string(),
                &agent.state_data.as_bytes(),
                &STEP_REASON,
                &now.seconds,
                &now.micros,
            ],
        )
        .await?;
    ensure!(rows == 1, "{} is missing", agent.agent_id);
    Ok(())
}

async fn append(client: &impl GenericClient, event: &Event) -> Result<i64> {
    let now = UnixTime::now();
    let statement = client.prepare_cached(statements::APPEND_EVENT).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &event.id.to_string(),
                &event.event_type,
                &event.timestamp,
                &event.session_id,
                &event.actor_type.as_str(),
                &event.actor_id,
                &event.content,
                &text_of(event.metadata.as_ref())?,
                &event.git_commit,
                &now.seconds,
                &now.micros,
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

async fn append_all(client: &impl GenericClient, events: &[Event]) -> Result<usize> {
    let now = UnixTime::now();
    let statement = client.prepare_cached(statements::APPEND_EVENTS).await?;
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    let texts = |text: fn(&Event) -> &str| -> Vec<&str> { events.iter().map(text).collect() };
    let metadata = events.iter().map(|event| text_of(event.metadata.as_ref()));
    let times: Vec<i64> = events.iter().map(|event| event.timestamp).collect();
    let commits: Vec<_> = events
        .iter()
        .map(|event| event.git_commit.as_deref())
        .collect();
    let rows = client
        .query(
            &statement,
            &[
                &ids,
                &texts(|event| &event.event_type),
                &times,
                &texts(|event| &event.session_id),
                &texts(|event| event.actor_type.as_str()),
                &texts(|event| &event.actor_id),
                &texts(|event| &event.content),
                &metadata.collect::<Result<Vec<_>>>()?,
                &commits,
                &now.seconds,
                &now.micros,
            ],
        )
        .await?;
    Ok(rows.len())
}

async fn page_of<T>(
    client: &impl GenericClient,
    statement: &'static str,
    of: &str,
    decode: fn(&Row) -> Result<T>,
) -> Result<usize> {
    let statement = client.prepare_cached(statement).await?;
    let rows = client.query(&statement, &[&of]).await?;
    let mut page = rows.iter().map(decode).collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

harness::decoders!(Row);
