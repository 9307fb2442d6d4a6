//! Runs a group of requests in one transaction, and commits once.

use std::time::{Duration, Instant};

use diesel::SqliteConnection;

use super::indexing::Indexing;
use super::request::{Ran, WriteGroup};
use crate::commit_notes::CommitNotes;
use crate::engine::connection::OwnConnection;
use crate::engine::identity::mark_log;
use crate::engine::runtime::catch_panic;
use crate::engine::transaction::{begin, commit, rollback};
use crate::error::StateStoreError;

/// How a group's transaction ended.
pub(super) enum Ended {
    Committed,
    /// Its only request failed, and was rolled back.
    RolledBack,
    /// A request failed half-way, and nothing of the group was kept: with savepoints, it fails alone.
    Unguarded,
    /// Nothing of it was kept, or nobody knows: everybody hears this.
    Failed(StateStoreError),
    /// It never began, for want of the lock.
    Locked(StateStoreError),
    /// The request at this place took the transaction down with it.
    TakenDown(usize),
}

/// Where SQLite waits for a lock it sleeps up to 100 ms before it tries again, and a writer that never pauses has it nearly
/// always. So the store tries by itself, often at first; as only one process at a time is let through the turnstile, that
/// costs the machine little.
const PAUSES: [(Duration, Duration); 2] = [
    (Duration::from_millis(50), Duration::from_micros(250)),
    (Duration::MAX, Duration::from_millis(1)),
];

/// Begins a transaction that writes, on a connection that doesn't wait by itself.
///
/// # Errors
/// `Busy` where another has the lock for longer than the patience.
pub(super) fn begin_within(
    connection: &mut SqliteConnection,
    patience: Duration,
) -> Result<(), StateStoreError> {
    let started = Instant::now();
    loop {
        match catch_panic(|| begin(connection, "BEGIN IMMEDIATE")) {
            Err(StateStoreError::Busy { .. }) if started.elapsed() < patience => {}
            result => return result,
        }
        let waited = started.elapsed();
        let pause = PAUSES.iter().find(|(until, _)| waited < *until);
        let pause = pause.map_or(patience, |(_, pause)| *pause);
        #[allow(clippy::disallowed_methods)]
        // Nothing tells when another process releases the lock.
        std::thread::sleep(pause.min(patience.saturating_sub(waited)));
    }
}

/// Runs a group in the transaction that was begun, and commits it; requests whose callers are gone are taken out.
pub(super) fn in_transaction(
    indexing: &Indexing,
    connection: &mut SqliteConnection,
    (seen, marks_log): (&mut Option<i64>, bool),
    group: &mut WriteGroup,
    notes: &mut CommitNotes,
    commit_took: &mut Duration,
    guarded: bool,
) -> Ended {
    if let Err(error) = catch_panic(|| {
        OwnConnection::check_schema_of_transaction(connection, seen)?;
        if marks_log {
            mark_log(connection)
        } else {
            Ok(())
        }
    }) {
        rollback(connection);
        return Ended::Failed(error);
    }
    group.retain(|request| request.start());
    let is_alone = group.len() == 1;
    for (place, request) in group.iter_mut().enumerate() {
        match request.run(connection, notes, guarded) {
            Ran::Cleanly => {}
            Ran::HalfWay if rollback(connection) => {
                return if is_alone {
                    Ended::RolledBack
                } else {
                    Ended::Unguarded
                };
            }
            Ran::HalfWay | Ran::Fatally => return Ended::TakenDown(place),
        }
    }
    indexing.count_unseen(connection, notes);
    let started = Instant::now();
    let committed = catch_panic(|| commit(connection));
    *commit_took = started.elapsed();
    match committed {
        Ok(()) => Ended::Committed,
        Err(StateStoreError::Panicked { message }) => {
            Ended::Failed(StateStoreError::OutcomeUnknown {
                operation: "commit",
                cause: message.into(),
            })
        }
        Err(error) => Ended::Failed(error.of_commit("commit")),
    }
}

/// Runs a request that needs no transaction, or makes its own.
pub(super) fn without_transaction(
    connection: &mut SqliteConnection,
    group: &mut WriteGroup,
) -> Ended {
    group.retain(|request| request.start());
    for request in group {
        request.run(connection, &mut CommitNotes::default(), false);
    }
    Ended::Committed
}
