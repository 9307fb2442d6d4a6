//! One write of a run, from its beginning to what became of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use descartes_state::{AnyStateStore, StateStoreError};

use super::backlog::Batch;
use super::life::{Life, Started};
use crate::entries::{Refused, is_of_content};

/// What is written in one transaction.
pub(super) enum Job {
    Started(Started),
    Batch(Batch),
}

pub(super) type Written = (Job, Result<Refused, StateStoreError>);
pub(super) type Writing = Pin<Box<dyn Future<Output = Written> + Send>>;

/// Writes it; rows that can never be written are refused, and the others of their batch are kept.
pub(super) async fn write(store: AnyStateStore, life: Life, job: Job) -> Written {
    let result = match &job {
        Job::Started(started) => {
            let started = started.clone();
            let written = store.transact(move |tx| life.running(tx, &started));
            written.await.map(|()| Refused::default())
        }
        Job::Batch(batch) => {
            let (entries, exited) = (Arc::clone(&batch.entries), batch.exited.clone());
            let write = store.transact(move |tx| {
                entries.write(tx)?;
                match &exited {
                    Some(exited) => life.exited(tx, exited),
                    None => Ok(()),
                }
            });
            match write.await {
                // One of them can never be written: the others are.
                Err(error) if is_of_content(&error) => {
                    let entries = Arc::clone(&batch.entries);
                    store.transact(move |tx| entries.write_each(tx)).await
                }
                result => result.map(|()| Refused::default()),
            }
        }
    };
    (job, result)
}

/// Waits for the end of a write; where there is none, for ever.
pub(super) async fn finished(writing: &mut Option<Writing>) -> Written {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}
