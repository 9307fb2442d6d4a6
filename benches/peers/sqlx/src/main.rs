//! `sqlx`, tuned: a pool of one connection that writes, a pool that reads, cached statements. Called by the driver.

mod queries;
mod rows;

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use harness::{Contestant, Durability, Job, Operation, Setup, pragmas, run_asynchronous};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

#[derive(Clone)]
struct Sqlx {
    writer: SqlitePool,
    readers: SqlitePool,
    setup: Arc<Setup>,
}

impl Sqlx {
    async fn open(setup: Setup) -> Result<Self> {
        let mut options = SqliteConnectOptions::new()
            .filename(&setup.path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .statement_cache_capacity(100);
        for (name, value) in pragmas(setup.workload.durability) {
            options = options.pragma(name, value);
        }
        // A local connection needs no test each time it is taken.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writer = pool()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        let readers = pool()
            .min_connections(1)
            .max_connections(4)
            .connect_with(options)
            .await?;
        let wanted = match setup.workload.durability {
            Durability::Full => 2,
            Durability::Relaxed => 1,
        };
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&writer)
            .await?;
        ensure!(synchronous == wanted, "synchronous is {synchronous}");
        Ok(Self {
            writer,
            readers,
            setup: Arc::new(setup),
        })
    }
}

impl Contestant for Sqlx {
    async fn perform(&self, operation: Operation) -> Result<usize> {
        queries::perform(&self.writer, &self.readers, &self.setup, operation).await
    }

    async fn close(self) -> Result<()> {
        self.readers.close().await;
        self.writer.close().await;
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, job] = arguments.as_slice() else {
        bail!("the driver of benches/peers calls this");
    };
    ensure!(command == "contestant", "there is no {command:?}");
    let job: Job = serde_json::from_str(job).context("the job")?;
    let report = run_asynchronous(&job, &sqlite_version()?, Sqlx::open)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn sqlite_version() -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pool = SqlitePool::connect("sqlite::memory:").await?;
        let version = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&pool)
            .await?;
        pool.close().await;
        Ok(version)
    })
}
