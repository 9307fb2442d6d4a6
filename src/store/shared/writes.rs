//! Writes that share statements and a commit.

use std::any::Any;
use std::sync::Arc;

use super::Shareable;
use crate::engine::{WriteKind, postgres};
use crate::error::{ErrorKind, StateStoreError};
use crate::models::{SharedWrite, Wrote};
use crate::repository::postgres::write_shared;

/// What a method has prepared, and how many bytes it has.
pub(in crate::store) struct Write {
    prepared: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

/// What became of a write.
pub(in crate::store) enum Written {
    Wrote(Wrote),
    /// Nothing of it was written: it is to be done by itself.
    Alone,
    Failed(StateStoreError),
}

impl Write {
    /// Returns what was prepared as a write that may share; `None` for one that may not.
    pub(in crate::store) fn of(prepared: Arc<dyn Any + Send + Sync>, bytes: usize) -> Option<Self> {
        let write = Self { prepared, bytes };
        (bytes <= super::MOST_BYTES && write.shared().is_some()).then_some(write)
    }

    fn shared(&self) -> Option<SharedWrite<'_>> {
        SharedWrite::of(&*self.prepared)
    }
}

impl Shareable for Write {
    type Answer = Written;

    fn key(&self) -> Option<&str> {
        self.shared().and_then(|shared| shared.key())
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn alone() -> Written {
        Written::Alone
    }

    fn lost(operation: &'static str) -> Written {
        Written::Failed(StateStoreError::OutcomeUnknown {
            operation,
            cause: "the runtime on which it was written has ended".into(),
        })
    }

    async fn run(
        handle: &postgres::Handle,
        call: &postgres::Call,
        operation: &'static str,
        group: Vec<Self>,
    ) -> Vec<Written> {
        let count = group.len();
        let work = move |connection: &mut _, notes: &mut _| {
            let writes: Vec<_> = group.iter().filter_map(Self::shared).collect();
            write_shared(connection, &writes, notes)
        };
        let kind = WriteKind::FewStatements;
        let written = handle.write(call, operation, kind, Vec::new(), work);
        match written.await {
            Ok(wrote) => wrote
                .into_iter()
                .map(|wrote| wrote.map_or(Written::Alone, Written::Wrote))
                .collect(),
            // Of the server, or of the store: each by itself would hear the same, later.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::OutcomeUnknown
                        | ErrorKind::ConnectionLost
                        | ErrorKind::Timeout
                        | ErrorKind::Closed
                        | ErrorKind::NotInitialized
                        | ErrorKind::NewerDatabase
                        | ErrorKind::ReadOnly
                ) =>
            {
                (0..count).map(|_| Written::Failed(error.again())).collect()
            }
            // Each by itself says what is wrong with it.
            Err(_) => std::iter::repeat_with(Self::alone).take(count).collect(),
        }
    }
}
