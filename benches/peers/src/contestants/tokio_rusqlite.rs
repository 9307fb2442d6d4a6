//! `tokio-rusqlite`: one connection on a thread of its own, and a call to it an operation.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use harness::{Contestant, Operation, Setup};
use tokio_rusqlite::{Connection, Error};

use super::raw;

#[derive(Clone)]
pub(super) struct TokioRusqlite {
    connection: Connection,
    setup: Arc<Setup>,
}

impl TokioRusqlite {
    pub(super) async fn open(setup: Setup) -> Result<Self> {
        let connection = Connection::open(&setup.path).await?;
        let durability = setup.workload.durability;
        connection
            .call(move |connection| {
                raw::configure(connection, durability)?;
                raw::check(connection, durability)
            })
            .await
            .map_err(flat)?;
        Ok(Self {
            connection,
            setup: Arc::new(setup),
        })
    }
}

impl Contestant for TokioRusqlite {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        let setup = Arc::clone(&self.setup);
        self.connection
            .call(move |connection| raw::perform(connection, &setup, &operation))
            .await
            .map_err(flat)
    }

    async fn close(self) -> Result<()> {
        self.connection
            .close()
            .await
            .map_err(|error| anyhow!("{error}"))
    }
}

/// anyhow's error is none of the standard library's, which this one would have to hold.
fn flat(error: Error<anyhow::Error>) -> anyhow::Error {
    match error {
        Error::Error(error) => error,
        _ => anyhow!("the connection is closed"),
    }
}
