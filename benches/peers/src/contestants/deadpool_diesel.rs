//! `deadpool-diesel`, used naively: a pool of ten connections, one `interact` an operation, plain Diesel.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use deadpool_diesel::Connection;
use deadpool_diesel::sqlite::{Hook, HookError, Manager, Pool, Runtime};
use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use harness::{Contestant, Operation, Setup, pragmas};

use super::diesel_queries::perform;

#[derive(Clone)]
pub(super) struct DeadpoolDiesel {
    pool: Pool,
    setup: Arc<Setup>,
}

impl DeadpoolDiesel {
    pub(super) async fn open(setup: Setup) -> Result<Self> {
        let durability = setup.workload.durability;
        let path = setup.path.to_string_lossy().into_owned();
        let hook = Hook::async_fn(move |object: &mut Connection<SqliteConnection>, _| {
            Box::pin(async move {
                object
                    .interact(move |connection| {
                        pragmas(durability)
                            .into_iter()
                            .try_for_each(|(name, value)| {
                                connection.batch_execute(&format!("PRAGMA {name} = {value};"))
                            })
                    })
                    .await
                    .map_err(|error| HookError::message(error.to_string()))?
                    .map_err(|error| HookError::message(error.to_string()))
            })
        });
        let pool = Pool::builder(Manager::new(path, Runtime::Tokio1))
            .max_size(10)
            .post_create(hook)
            .build()?;
        Ok(Self {
            pool,
            setup: Arc::new(setup),
        })
    }
}

impl Contestant for DeadpoolDiesel {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        let setup = Arc::clone(&self.setup);
        self.pool
            .get()
            .await?
            .interact(move |connection| perform(connection, &setup, operation))
            .await
            .map_err(|error| anyhow!("{error}"))?
    }

    async fn close(self) -> Result<()> {
        self.pool.close();
        Ok(())
    }
}
