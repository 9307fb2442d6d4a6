//! `deadpool-sqlite`: a pool of ten connections, and one `interact` an operation. Writers wait by the busy timeout.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use deadpool_sqlite::{Config, Hook, HookError, Pool, Runtime};
use harness::{Contestant, Operation, Setup};

use super::raw;

#[derive(Clone)]
pub(super) struct DeadpoolSqlite {
    pool: Pool,
    setup: Arc<Setup>,
}

impl DeadpoolSqlite {
    pub(super) async fn open(setup: Setup) -> Result<Self> {
        let durability = setup.workload.durability;
        let hook = Hook::async_fn(move |object, _| {
            Box::pin(async move {
                object
                    .interact(move |connection| raw::configure(connection, durability))
                    .await
                    .map_err(|error| HookError::message(error.to_string()))?
                    .map_err(HookError::Backend)
            })
        });
        let pool = Config::new(&setup.path)
            .builder(Runtime::Tokio1)?
            .max_size(10)
            .post_create(hook)
            .build()?;
        pool.get()
            .await?
            .interact(move |connection| raw::check(connection, durability))
            .await
            .map_err(|error| anyhow!("{error}"))??;
        Ok(Self {
            pool,
            setup: Arc::new(setup),
        })
    }
}

impl Contestant for DeadpoolSqlite {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        let setup = Arc::clone(&self.setup);
        self.pool
            .get()
            .await?
            .interact(move |connection| raw::perform(connection, &setup, &operation))
            .await
            .map_err(|error| anyhow!("{error}"))?
    }

    async fn close(self) -> Result<()> {
        self.pool.close();
        Ok(())
    }
}
