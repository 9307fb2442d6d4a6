//! The stores that have to keep the contract.

use std::error::Error;
use std::sync::Arc;

use descartes_state::{
    Durability, Limits, ManualClock, Session, SqliteStateStore, StateStore, StoreOptions,
    TransitionDraft,
};
use tempfile::TempDir;

use descartes_state_testing::{NOW, PostgresSchema, agent, event, refuse_nul, task};

/// Rows of an unpaged list in this suite: few, so that "one too many" is cheap.
pub(crate) const LIST_ROWS: usize = 12;

/// A store, and the directory that it lies in, if that isn't its own.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn StateStore>,
    _directory: Option<TempDir>,
    _schema: Option<PostgresSchema>,
}

/// `None` where there is no server for it.
type Opened = Result<Option<Subject>, Box<dyn Error>>;

fn options() -> StoreOptions {
    StoreOptions::default()
        .limits(Limits::default().list_rows(LIST_ROWS))
        // It stands still: whatever has an order has it from somewhere else.
        .clock(ManualClock::at_seconds(NOW))
}

async fn on_file(options: StoreOptions) -> Result<(SqliteStateStore, TempDir), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let store = SqliteStateStore::open(directory.path().join("state.db"), options).await?;
    store.initialize().await?;
    Ok((store, directory))
}

fn subject(store: SqliteStateStore, directory: Option<TempDir>) -> Opened {
    Ok(Some(Subject {
        store: Arc::new(store),
        _directory: directory,
        _schema: None,
    }))
}

pub(crate) async fn plain() -> Opened {
    let (store, directory) = on_file(options()).await?;
    subject(store, Some(directory))
}

/// Under a prefix, among neighbours whose rows have the ids that the suite uses.
pub(crate) async fn prefixed() -> Opened {
    let (store, directory) = on_file(options()).await?;
    for neighbour in ["", "te", "te:nant%3"] {
        let neighbour = store.with_prefix(neighbour);
        for id in ["a", "b", "zz"] {
            neighbour.save_agent_state(&agent(id)).await?;
            neighbour.create_snapshot(id, None).await?;
            let draft = TransitionDraft::new(id, "theirs", "theirs");
            neighbour.transitions().record(&draft).await?;
            neighbour.sessions().start(&Session::new(id, id)).await?;
        }
        neighbour.save_event(&event("alpha beta theirs")).await?;
        neighbour.save_task(&task("theirs")).await?;
    }
    subject(store.with_prefix("te:nant%"), Some(directory))
}

pub(crate) async fn compressed() -> Opened {
    // The lowest threshold: every state that shrinks is compressed.
    let options = options().compression(true).compression_threshold(0);
    let (store, directory) = on_file(options).await?;
    subject(store, Some(directory))
}

pub(crate) async fn temporary() -> Opened {
    subject(SqliteStateStore::temporary_with(options()).await?, None)
}

pub(crate) async fn relaxed() -> Opened {
    let options = options().durability(Durability::Relaxed);
    let (store, directory) = on_file(options).await?;
    subject(store, Some(directory))
}

pub(crate) async fn postgres() -> Opened {
    let Some(schema) = PostgresSchema::new() else {
        return Ok(None);
    };
    refuse_nul();
    let store = schema.open(options()).await;
    Ok(Some(Subject {
        store: Arc::new(store),
        _directory: None,
        _schema: Some(schema),
    }))
}
