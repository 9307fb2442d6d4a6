//! The hot writes of many callers, in one statement for their agents and one for their events.
//!
//! By hand, since Diesel has no `unnest`: with a statement each, 64 callers wrote a quarter of what sqlx does
//! (`docs/performance.md`, "On a server"). The bodies do what isn't as usual: what isn't returned here wasn't written here.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};

use super::dialect::{Connection, byte_length};
use super::prepared::prepared;
use super::search::{append_events, insert_event};
use crate::codec::{Codec, Encoded};
use crate::commit_notes::CommitNotes;
use crate::error::StateStoreError;
use crate::models::{AgentRow, NewAgent, SharedWrite, Wrote};
use crate::schema::agent_states;

/// Writes agents over those that are there, with transitions from what they were. A row that somebody else holds is left to its
/// own write, by itself: who holds others' rows waits for nobody.
const WRITE_AGENTS: &str = "\
WITH new AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::text[])
    AS new (key, name, status, metadata, state_data, state_data_codec, version, updated_at, recorded_at, transition,
        reason, at, transition_metadata)
), old AS MATERIALIZED (
    SELECT agent.key, agent.namespace, agent.agent_id, agent.state_data, agent.state_data_codec
    FROM agent_states agent JOIN new ON new.key = agent.key
    WHERE NOT agent.is_deleted
    ORDER BY agent.key FOR UPDATE OF agent SKIP LOCKED
), recorded AS (
    INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_before_codec, state_after,
        state_after_codec, reason, timestamp, metadata, recorded_at)
    SELECT old.namespace, new.transition, old.agent_id, old.state_data, old.state_data_codec, new.state_data,
        new.state_data_codec, new.reason, new.at, new.transition_metadata, new.recorded_at
    FROM old JOIN new ON new.key = old.key
    WHERE new.transition IS NOT NULL
    RETURNING id, seq
), written AS (
    UPDATE agent_states agent SET name = new.name, status = new.status, metadata = new.metadata,
        state_data = new.state_data, state_data_codec = new.state_data_codec, version = new.version,
        updated_at = new.updated_at, recorded_at = new.recorded_at, revision = agent.revision + 1
    FROM old JOIN new ON new.key = old.key
    WHERE agent.key = old.key
    RETURNING agent.key, agent.revision, new.transition
)
SELECT written.key, written.revision, recorded.seq, pg_current_xact_id()::text::bigint AS transaction
FROM written LEFT JOIN recorded ON recorded.id = written.transition";

/// The same for one agent: its plan is made once, where that of arrays is made for each.
const WRITE_AGENT: &str = "\
UPDATE agent_states SET name = $2, status = $3, metadata = $4, state_data = $5, state_data_codec = $6, version = $7,
    updated_at = $8, recorded_at = $9, revision = revision + 1
WHERE key = (SELECT key FROM agent_states WHERE key = $1 AND NOT is_deleted FOR UPDATE SKIP LOCKED)
RETURNING key, revision, NULL::bigint AS seq, pg_current_xact_id()::text::bigint AS transaction";

const TAKE_STEP: &str = "\
WITH old AS MATERIALIZED (
    SELECT key, namespace, agent_id, state_data, state_data_codec FROM agent_states
    WHERE key = $1 AND NOT is_deleted FOR UPDATE SKIP LOCKED
), recorded AS (
    INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_before_codec, state_after,
        state_after_codec, reason, timestamp, metadata, recorded_at)
    SELECT namespace, $10, agent_id, state_data, state_data_codec, $5, $6, $11, $12, $13, $9 FROM old
    RETURNING seq
), written AS (
    UPDATE agent_states agent SET name = $2, status = $3, metadata = $4, state_data = $5, state_data_codec = $6,
        version = $7, updated_at = $8, recorded_at = $9, revision = agent.revision + 1
    FROM old WHERE agent.key = old.key
    RETURNING agent.key, agent.revision
)
SELECT key, revision, (SELECT seq FROM recorded) AS seq, pg_current_xact_id()::text::bigint AS transaction FROM written";

#[derive(Debug, QueryableByName)]
struct WrittenAgent {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    seq: Option<i64>,
    #[diesel(sql_type = BigInt)]
    transaction: i64,
}

/// Does the writes of several callers, no two of them on one agent; returns what each wrote, `None` for one that has to be done
/// by itself, of which nothing was written.
///
/// # Errors
/// Where one is to be undone, with all others: its agent was written, and its events were not.
pub(crate) fn write_shared(
    connection: &mut Connection,
    writes: &[SharedWrite<'_>],
    notes: &mut CommitNotes,
) -> Result<Vec<Option<Wrote>>, StateStoreError> {
    let agents: Vec<_> = writes
        .iter()
        .filter_map(|write| Some((write.agent?, write)))
        .collect();
    let written = match agents.as_slice() {
        [] => Vec::new(),
        [(agent, write)] => write_agent(connection, agent, write)?,
        agents => write_agents(connection, agents)?,
    };
    notes.transaction = written.first().map(|agent| agent.transaction);
    let written: HashMap<&str, &WrittenAgent> = written
        .iter()
        .map(|agent| (agent.key.as_str(), agent))
        .collect();
    // Events of an agent that isn't there yet wait for it.
    let is_alone =
        |write: &SharedWrite<'_>| write.key().is_some_and(|key| !written.contains_key(key));
    let events: Vec<_> = writes
        .iter()
        .filter(|write| !is_alone(write))
        .flat_map(|write| write.events)
        .collect();
    let seqs = match events.as_slice() {
        [event] => vec![insert_event(connection, event)?],
        events => append_events(connection, events)?,
    };
    let mut seqs = seqs.into_iter();
    let mut results = Vec::with_capacity(writes.len());
    for write in writes {
        if is_alone(write) {
            results.push(None);
            continue;
        }
        let events: Vec<Option<i64>> = seqs.by_ref().take(write.events.len()).collect();
        let events: Option<Vec<i64>> = events.into_iter().collect();
        let agent = write.key().and_then(|key| written.get(key));
        match (events, agent) {
            (Some(events), agent) => results.push(Some(Wrote {
                revision: agent.map(|agent| agent.revision),
                transition: agent.and_then(|agent| agent.seq),
                events,
            })),
            (None, None) => results.push(None),
            (None, Some(_)) => {
                return Err(StateStoreError::application(
                    "an event of a step was there already",
                ));
            }
        }
    }
    Ok(results)
}

fn write_agents(
    connection: &mut Connection,
    agents: &[(&NewAgent, &SharedWrite<'_>)],
) -> Result<Vec<WrittenAgent>, StateStoreError> {
    let texts = |text: fn(&NewAgent) -> &str| -> Vec<&str> {
        agents.iter().map(|(agent, _)| text(agent)).collect()
    };
    let numbers = |number: fn(&NewAgent) -> i64| -> Vec<i64> {
        agents.iter().map(|(agent, _)| number(agent)).collect()
    };
    let states: Vec<&[u8]> = agents.iter().map(|(agent, _)| stored(agent)).collect();
    let transitions = || agents.iter().map(|(_, write)| write.transition);
    let ids: Vec<Option<&str>> = transitions().map(|new| new.map(|new| &*new.id)).collect();
    let reasons: Vec<Option<&str>> = transitions()
        .map(|new| new.and_then(|new| new.reason.as_deref()))
        .collect();
    let times: Vec<Option<i64>> = transitions()
        .map(|new| new.map(|new| new.timestamp))
        .collect();
    let metadata: Vec<Option<&str>> = transitions()
        .map(|new| new.and_then(|new| new.metadata.as_deref()))
        .collect();
    let write = diesel::sql_query(WRITE_AGENTS)
        .bind::<Array<Text>, _>(texts(|agent| &agent.key))
        .bind::<Array<Text>, _>(texts(|agent| &agent.name))
        .bind::<Array<Text>, _>(texts(|agent| &agent.status))
        .bind::<Array<Text>, _>(texts(|agent| &agent.metadata))
        .bind::<Array<Binary>, _>(states)
        .bind::<Array<BigInt>, _>(numbers(|agent| agent.state_data_codec))
        .bind::<Array<BigInt>, _>(numbers(|agent| agent.version))
        .bind::<Array<BigInt>, _>(numbers(|agent| agent.updated_at))
        .bind::<Array<BigInt>, _>(numbers(|agent| agent.recorded_at))
        .bind::<Array<Nullable<Text>>, _>(ids)
        .bind::<Array<Nullable<Text>>, _>(reasons)
        .bind::<Array<Nullable<BigInt>>, _>(times)
        .bind::<Array<Nullable<Text>>, _>(metadata);
    Ok(prepared!(write).load(connection)?)
}

/// Returns a state as its column keeps it.
fn stored(agent: &NewAgent) -> &[u8] {
    match &agent.state_data.0 {
        Encoded::Text(text) => text.as_bytes(),
        Encoded::Zstd(bytes) => bytes,
    }
}

fn write_agent(
    connection: &mut Connection,
    agent: &NewAgent,
    write: &SharedWrite<'_>,
) -> Result<Vec<WrittenAgent>, StateStoreError> {
    macro_rules! of_agent {
        ($statement:expr) => {
            diesel::sql_query($statement)
                .bind::<Text, _>(&agent.key)
                .bind::<Text, _>(&agent.name)
                .bind::<Text, _>(&agent.status)
                .bind::<Text, _>(&agent.metadata)
                .bind::<Binary, _>(stored(agent))
                .bind::<BigInt, _>(agent.state_data_codec)
                .bind::<BigInt, _>(agent.version)
                .bind::<BigInt, _>(agent.updated_at)
                .bind::<BigInt, _>(agent.recorded_at)
        };
    }
    let Some(new) = write.transition else {
        return Ok(prepared!(of_agent!(WRITE_AGENT)).load(connection)?);
    };
    let step = of_agent!(TAKE_STEP)
        .bind::<Text, _>(&new.id)
        .bind::<Nullable<Text>, _>(&new.reason)
        .bind::<BigInt, _>(new.timestamp)
        .bind::<Nullable<Text>, _>(&new.metadata);
    Ok(prepared!(step).load(connection)?)
}

/// The largest state that is loaded with others, in bytes as it is stored. One that is compressed may have any size.
const MOST_BYTES: i32 = 64 * 1024;

/// Loads agents by their keys, in one statement; those that aren't there, are deleted, large or compressed are none of them.
pub(crate) fn load_shared(
    connection: &mut Connection,
    keys: &[&str],
) -> Result<HashMap<String, AgentRow>, StateStoreError> {
    let load = agent_states::table
        .filter(diesel::dsl::not(agent_states::is_deleted))
        .filter(agent_states::state_data_codec.eq(Codec::Text.number()))
        .filter(byte_length(agent_states::state_data.nullable()).le(MOST_BYTES))
        .select((agent_states::key, AgentRow::as_select()));
    let rows: Vec<(String, AgentRow)> = match keys {
        // The plan for an array is made each time.
        [key] => prepared!(load.filter(agent_states::key.eq(*key))).load(connection)?,
        keys => prepared!(load.filter(agent_states::key.eq_any(keys))).load(connection)?,
    };
    Ok(rows.into_iter().collect())
}
