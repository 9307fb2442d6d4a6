//! The files that every run starts from, made by our own store, so that tables, indexes and triggers are the same for
//! all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use descartes_state::SqliteStateStore;
use harness::{Corpus, Database, Inputs, Scale, StateSize, agent_id};
use uuid::Uuid;

use crate::contestants::{Store, agent, event, task, transition};
use crate::verify::{Contents, contents};

pub(crate) struct Prepared {
    pub(crate) path: PathBuf,
    pub(crate) contents: Contents,
    pub(crate) bytes: u64,
}

/// Makes the files that the workloads need.
pub(crate) fn prepare(
    directory: &Path,
    corpus: &Corpus,
    scale: Scale,
    databases: impl IntoIterator<Item = Database>,
) -> Result<BTreeMap<Database, Prepared>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut prepared = BTreeMap::new();
    for database in databases {
        if prepared.contains_key(&database) {
            continue;
        }
        let path = directory.join(format!("prepared-{database:?}.db").to_lowercase());
        crate::files::remove(&path)?;
        runtime
            .block_on(async {
                let store = SqliteStateStore::new(&path, false).await?;
                fill(&store.into(), corpus, scale, database).await
            })
            .with_context(|| format!("preparing {database:?}"))?;
        let contents = contents(&path)?;
        let bytes = fs::metadata(&path)?.len();
        prepared.insert(
            database,
            Prepared {
                path,
                contents,
                bytes,
            },
        );
    }
    Ok(prepared)
}

/// Fills a store with the rows that workloads run on, and closes it.
pub(crate) async fn fill(
    store: &Store,
    corpus: &Corpus,
    scale: Scale,
    database: Database,
) -> Result<()> {
    store.initialize().await?;
    match database {
        Database::Small => {
            agents(store, corpus, scale.agents).await?;
            events(store, corpus, scale.agents).await?;
            store
                .transact(|tx| {
                    for number in 0..Inputs::TASKS {
                        let task = task(harness::task(number)).map_err(descartes_state_error)?;
                        tx.tasks().save(&task)?;
                    }
                    Ok(())
                })
                .await?;
        }
        Database::Large => {
            agents(store, corpus, scale.listed).await?;
            transitions(store, corpus, scale).await?;
        }
        Database::Events => events(store, corpus, scale.events).await?,
        Database::Million => events(store, corpus, scale.many_events).await?,
    }
    // It moves the log into the file: what is copied is one file.
    store.close().await?;
    Ok(())
}

fn descartes_state_error(error: anyhow::Error) -> descartes_state::StateStoreError {
    descartes_state::StateStoreError::Application(error.into())
}

async fn agents(store: &Store, corpus: &Corpus, count: usize) -> Result<()> {
    for from in (0..count).step_by(500) {
        let states: Vec<_> = (from..count.min(from + 500))
            .map(|number| agent(harness::agent(corpus, number, 0, StateSize::Small)))
            .collect();
        store
            .transact(move |tx| {
                for state in &states {
                    tx.agents().save(state)?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn events(store: &Store, corpus: &Corpus, count: usize) -> Result<()> {
    for from in (0..count).step_by(10_000) {
        let rows: Vec<_> = (from..count.min(from + 10_000))
            .map(|number| {
                event(harness::Event {
                    id: Uuid::now_v7(),
                    ..harness::searchable_event(corpus, number)
                })
            })
            .collect();
        store.events().append_all(&rows).await?;
    }
    Ok(())
}

/// Two of three belong to the busy agents, spread over the whole table.
async fn transitions(store: &Store, corpus: &Corpus, scale: Scale) -> Result<()> {
    let busy = Inputs::BUSY_AGENTS;
    let total = scale.transitions * busy * 3 / 2;
    for from in (0..total).step_by(2000) {
        let drafts: Vec<_> = (from..total.min(from + 2000))
            .map(|number| {
                let agent = match number % 3 {
                    0 => busy + number % (scale.listed - busy),
                    _ => (number / 3 * 2 + number % 3 - 1) % busy,
                };
                transition(harness::transition(corpus, &agent_id(agent), number))
            })
            .collect();
        store
            .transact(move |tx| {
                for draft in &drafts {
                    tx.transitions().record(draft)?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}
