//! Refuses what stands before some servers: a pooler that gives each transaction whichever session of the server is free.
//!
//! A store tells its connections settings (which schema, how durable) and prepares statements on them. Behind such a pooler these are
//! another store's as well: rows would go into its schema, and a statement would be the other's of the same name.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use tokio::runtime::Handle;

use super::address::Address;
use super::connections::Slot;
use super::transaction::Afterwards;
use crate::clock::new_id;
use crate::engine::runtime::{AcquireTimeout, on_blocking_pool};
use crate::error::{StateStoreError, unkept_session};

/// How long the second connection is waited for: a pooler whose sessions are all in use lets it wait for one.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often both are asked: where others keep the pooler busy, chance decides which session each gets.
const ROUNDS: usize = 8;

/// Checks that a connection has a session of its own, by the side of a second one that is closed again. Where there can't be a second,
/// only those who keep the pooler busy can show that it has none.
///
/// # Errors
/// `Unsupported` where it has none; never for a connection that keeps its session. `ConnectionLost`.
pub(super) async fn require_session(
    runtime: &Handle,
    mut slot: Slot,
    address: &Address,
) -> Result<(), StateStoreError> {
    let url = address.url().to_owned();
    let second = on_blocking_pool(runtime, move || {
        let connected = PgConnection::establish(&url).ok();
        Ok(connected.and_then(|mut connection| Some((mark(&mut connection).ok()?, connection))))
    });
    let second = AcquireTimeout::new(PATIENCE, runtime.clone())
        .wait(second)
        .await;
    let mut second = second.and_then(Result::ok).flatten();
    on_blocking_pool(runtime, move || {
        slot.examine(|first| match keep_theirs(first, second.as_mut()) {
            Ok(()) => (Ok(()), Afterwards::Keep),
            Err(error) => (Err(error), Afterwards::Close),
        })?
    })
    .await
}

fn keep_theirs(
    first: &mut PgConnection,
    mut second: Option<&mut (String, PgConnection)>,
) -> Result<(), StateStoreError> {
    let first_mark = mark(first)?;
    // At once: a pooler may give its sessions in turn.
    let mut is_kept = keeps(first, &first_mark)?;
    for _ in 0..ROUNDS {
        if let Some((second_mark, second)) = &mut second {
            // One that broke shows nothing.
            is_kept = is_kept && keeps(second, second_mark).unwrap_or(true);
        }
        is_kept = is_kept && keeps(first, &first_mark)?;
    }
    if is_kept {
        Ok(())
    } else {
        Err(unkept_session("it forgot a setting"))
    }
}

/// Tells a session a setting that no other has.
fn mark(connection: &mut PgConnection) -> QueryResult<String> {
    let mark = new_id().simple().to_string();
    connection.batch_execute(&format!("SET descartes_state.session = '{mark}'"))?;
    Ok(mark)
}

fn keeps(connection: &mut PgConnection, mark: &str) -> QueryResult<bool> {
    let found = sql::<Nullable<Text>>("current_setting('descartes_state.session', true)");
    let found: Option<String> = diesel::select(found).get_result(connection)?;
    Ok(found.as_deref() == Some(mark))
}
