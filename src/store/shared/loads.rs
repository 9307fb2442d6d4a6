//! Loads of agents that share a statement.

use std::sync::Arc;

use super::Shareable;
use crate::engine::postgres;
use crate::error::StateStoreError;
use crate::models::{AgentRecord, Scope};
use crate::repository::postgres::load_shared;

/// An agent to be loaded, by its key.
pub(in crate::store) struct Load {
    pub(in crate::store) key: String,
    pub(in crate::store) scope: Arc<Scope>,
}

/// What was found; `None` where the agent isn't there, or is large: it is to be loaded by itself.
type Loaded = Option<Result<AgentRecord, StateStoreError>>;

impl Shareable for Load {
    type Answer = Loaded;

    fn key(&self) -> Option<&str> {
        Some(&self.key)
    }

    fn bytes(&self) -> usize {
        self.key.len()
    }

    fn alone() -> Loaded {
        None
    }

    fn lost(_: &'static str) -> Loaded {
        None
    }

    async fn run(
        handle: &postgres::Handle,
        call: &postgres::Call,
        operation: &'static str,
        group: Vec<Self>,
    ) -> Vec<Loaded> {
        let count = group.len();
        let load = move |connection: &mut _, _: &_| {
            let keys: Vec<&str> = group.iter().map(|load| &*load.key).collect();
            let mut found = load_shared(connection, &keys)?;
            let loaded = group
                .iter()
                .map(|load| Some(found.remove(&load.key)?.decode(&load.scope)));
            Ok(loaded.collect())
        };
        match handle.read(call, operation, load).await {
            Ok(loaded) => loaded,
            Err(error) => (0..count).map(|_| Some(Err(error.again()))).collect(),
        }
    }
}
