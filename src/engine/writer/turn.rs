//! How the leader waits for its process's turn to write.

use std::time::{Duration, Instant};

use crate::engine::connection::OwnConnection;
use crate::engine::pragma::data_version;
use crate::engine::runtime::catch_panic;
use crate::engine::transaction::{begin, rollback};
use crate::engine::turnstile::{Pass, Passage, Turnstile};

/// How long the leader waits for its turn among processes before it looks whether anybody writes at all.
const MOMENT: Duration = Duration::from_millis(50);
/// After so many such looks in a row, whoever has the turn is taken for stopped.
const STALLED: usize = 3;
/// The wait for its turn after which the leader takes those for stopped who are before it, where others commit meanwhile.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// How many looks found that others had committed since the look before.
#[derive(Debug, Default)]
struct Commits {
    last: Option<i64>,
    number: usize,
}

impl Commits {
    fn look(&mut self, version: Option<i64>) {
        if self.last.is_some() && self.last != version {
            self.number += 1;
        }
        self.last = version;
    }
}

/// Waits for this process's turn among those that write. Returns how long it may still wait for SQLite's lock.
pub(super) fn wait_for_turn(
    turnstile: &Turnstile,
    busy_timeout: Duration,
    connection: &mut OwnConnection,
) -> (Pass, Duration) {
    let started = Instant::now();
    // How often in a row the lock was free while somebody had the turn: between two commits of others it may be, once.
    let mut free = 0;
    let mut commits = Commits::default();
    loop {
        match turnstile.pass_within(MOMENT) {
            Passage::Open(pass) => {
                return (pass, busy_timeout.saturating_sub(started.elapsed()));
            }
            Passage::Closed => {}
            Passage::Stalled => break,
        }
        free = if is_lock_free(connection) {
            free + 1
        } else {
            0
        };
        commits.look(seen_commit(connection));
        let waited = started.elapsed();
        // Who has the turn may have been stopped: then nobody writes, or those do who have found that out before.
        let is_stalled = free >= STALLED || (waited >= LONG_WAIT && commits.number >= STALLED);
        if is_stalled || waited >= busy_timeout {
            break;
        }
    }
    let left = busy_timeout.saturating_sub(started.elapsed());
    (turnstile.leave_line(), left)
}

fn is_lock_free(connection: &mut OwnConnection) -> bool {
    let begun = connection.run(false, |connection| {
        catch_panic(|| begin(connection, "BEGIN IMMEDIATE"))?;
        rollback(connection);
        Ok(())
    });
    begun.is_ok()
}

/// Returns a number that differs once somebody else has committed.
fn seen_commit(connection: &mut OwnConnection) -> Option<i64> {
    let version = connection.run(false, |connection| Ok(data_version(connection)?));
    version.ok()
}
