//! The operations in Diesel's own words, on our store's tables.

use std::hint::black_box;

use anyhow::Result;
use descartes_state::schema::{agent_states, events, state_transitions, tasks};
use diesel::dsl::{case_when, not, sql_query};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::upsert::excluded;
use harness::{
    Agent, Inputs, Operation, STEP_REASON, Setup, Task, Transition, UnixTime, statements,
};
use uuid::Uuid;

use super::diesel_rows::{
    AgentRow, EventRow, NewAgent, NewEvent, NewTransition, StateRow, TransitionRow,
};

const NAMESPACE: &str = "";

/// Does one operation in a transaction of its own.
pub(super) fn perform(
    connection: &mut SqliteConnection,
    setup: &Setup,
    operation: Operation,
) -> Result<usize> {
    let inputs = &*setup.inputs;
    match operation {
        Operation::Save(agent) => {
            save(connection, &NewAgent::new(&inputs.agents[agent])?)?;
            Ok(1)
        }
        Operation::Append(event) => {
            append(connection, &NewEvent::new(&event)?)?;
            Ok(1)
        }
        Operation::AppendIndexed(event) => connection.immediate_transaction(|connection| {
            append(connection, &NewEvent::new(&event)?)?;
            index(connection)?;
            Ok(1)
        }),
        Operation::AppendAll(all) => connection.immediate_transaction(|connection| {
            let rows = all.iter().map(NewEvent::new).collect::<Result<Vec<_>>>()?;
            diesel::insert_into(events::table)
                .values(&rows)
                .execute(connection)?;
            index(connection)?;
            Ok(all.len())
        }),
        Operation::Load(agent) => load(connection, &inputs.agents[agent].agent_id),
        Operation::List(page) => list(connection, &Inputs::before_page(page)),
        Operation::States(page) => states(connection, &Inputs::before_page(page)),
        Operation::History(agent) => history(connection, &inputs.agents[agent].agent_id),
        Operation::Search => search(connection, inputs.word()),
        Operation::FourAggregates {
            agent,
            transition,
            event,
            task,
        } => connection.immediate_transaction(|connection| {
            save(connection, &NewAgent::new(&inputs.agents[agent])?)?;
            record(connection, &inputs.transitions[transition])?;
            append(connection, &NewEvent::new(&event)?)?;
            save_task(connection, &inputs.tasks[task])?;
            index(connection)?;
            Ok(4)
        }),
        Operation::Step { agent, event } => connection.immediate_transaction(|connection| {
            let agent = &inputs.agents[agent];
            record_step(connection, agent)?;
            save(connection, &NewAgent::new(agent)?)?;
            append(connection, &NewEvent::new(&event)?)?;
            index(connection)?;
            Ok(3)
        }),
    }
}

fn save(connection: &mut SqliteConnection, row: &NewAgent<'_>) -> Result<i64> {
    use agent_states as columns;
    Ok(diesel::insert_into(agent_states::table)
        .values((row, columns::revision.eq(1_i64)))
        .on_conflict(columns::key)
        .do_update()
        .set((
            columns::name.eq(excluded(columns::name)),
            columns::status.eq(excluded(columns::status)),
            columns::metadata.eq(excluded(columns::metadata)),
            columns::state_data.eq(excluded(columns::state_data)),
            columns::state_data_codec.eq(excluded(columns::state_data_codec)),
            columns::version.eq(excluded(columns::version)),
            columns::updated_at.eq(excluded(columns::updated_at)),
            columns::recorded_at.eq(excluded(columns::recorded_at)),
            columns::created_at.eq(
                case_when(columns::is_deleted, excluded(columns::created_at))
                    .otherwise(columns::created_at),
            ),
            columns::is_deleted.eq(false),
            columns::revision.eq(columns::revision + 1),
        ))
        .returning(columns::revision)
        .get_result(connection)?)
}

fn append(connection: &mut SqliteConnection, row: &NewEvent<'_>) -> Result<i64> {
    Ok(diesel::insert_into(events::table)
        .values(row)
        .returning(events::seq)
        .get_result(connection)?)
}

fn index(connection: &mut SqliteConnection) -> Result<()> {
    sql_query(statements::INDEX_EVENTS).execute(connection)?;
    Ok(())
}

fn record(connection: &mut SqliteConnection, transition: &Transition) -> Result<i64> {
    Ok(diesel::insert_into(state_transitions::table)
        .values(&NewTransition::new(transition)?)
        .returning(state_transitions::seq)
        .get_result(connection)?)
}

fn record_step(connection: &mut SqliteConnection, agent: &Agent) -> Result<i64> {
    use agent_states as from;
    use state_transitions as to;
    let now = UnixTime::now();
    Ok(from::table
        .filter(from::key.eq(&agent.agent_id))
        .select((
            from::namespace,
            new_id().into_sql::<Text>(),
            from::agent_id,
            from::state_data,
            from::state_data_codec,
            agent.state_data.as_str().into_sql::<Text>(),
            0_i64.into_sql::<BigInt>(),
            Some(STEP_REASON).into_sql::<Nullable<Text>>(),
            now.seconds.into_sql::<BigInt>(),
            now.micros.into_sql::<BigInt>(),
        ))
        .insert_into(to::table)
        .into_columns((
            to::namespace,
            to::id,
            to::agent_id,
            to::state_before,
            to::state_before_codec,
            to::state_after,
            to::state_after_codec,
            to::reason,
            to::timestamp,
            to::recorded_at,
        ))
        .returning(to::seq)
        .get_result(connection)?)
}

fn save_task(connection: &mut SqliteConnection, task: &Task) -> Result<i64> {
    use tasks as columns;
    let metadata = task
        .metadata
        .as_ref()
        .map(serde_json::to_string)
        .transpose()?;
    Ok(diesel::insert_into(tasks::table)
        .values((
            columns::namespace.eq(NAMESPACE),
            columns::id.eq(task.id.to_string()),
            columns::title.eq(&task.title),
            columns::description.eq(&task.description),
            columns::status.eq(&task.status),
            columns::assigned_to.eq(&task.assigned_to),
            columns::created_at.eq(task.created_at),
            columns::updated_at.eq(task.updated_at),
            columns::metadata.eq(metadata),
            columns::recorded_at.eq(UnixTime::now().micros),
        ))
        .on_conflict((columns::namespace, columns::id))
        .do_update()
        .set((
            columns::title.eq(excluded(columns::title)),
            columns::description.eq(excluded(columns::description)),
            columns::status.eq(excluded(columns::status)),
            columns::assigned_to.eq(excluded(columns::assigned_to)),
            columns::metadata.eq(excluded(columns::metadata)),
            columns::updated_at.eq(excluded(columns::updated_at)),
            columns::recorded_at.eq(excluded(columns::recorded_at)),
            columns::created_at.eq(
                case_when(columns::is_deleted, excluded(columns::created_at))
                    .otherwise(columns::created_at),
            ),
            columns::is_deleted.eq(false),
            columns::revision.eq(columns::revision + 1),
        ))
        .returning(columns::revision)
        .get_result(connection)?)
}

fn load(connection: &mut SqliteConnection, key: &str) -> Result<usize> {
    let found = agent_states::table
        .filter(agent_states::key.eq(key))
        .filter(not(agent_states::is_deleted))
        .select(AgentRow::as_select())
        .first(connection)
        .optional()?
        .map(AgentRow::decode)
        .transpose()?;
    Ok(usize::from(black_box(found).is_some()))
}

fn list(connection: &mut SqliteConnection, after: &str) -> Result<usize> {
    let mut page = agent_states::table
        .filter(agent_states::namespace.eq(NAMESPACE))
        .filter(not(agent_states::is_deleted))
        .filter(agent_states::agent_id.gt(after))
        .order(agent_states::agent_id.asc())
        .limit(101)
        .select(AgentRow::as_select())
        .load(connection)?
        .into_iter()
        .map(AgentRow::decode)
        .collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

fn states(connection: &mut SqliteConnection, after: &str) -> Result<usize> {
    let mut page = agent_states::table
        .filter(agent_states::namespace.eq(NAMESPACE))
        .filter(not(agent_states::is_deleted))
        .filter(agent_states::agent_id.gt(after))
        .order(agent_states::agent_id.asc())
        .limit(101)
        .select(StateRow::as_select())
        .load(connection)?
        .into_iter()
        .map(StateRow::decode)
        .collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

fn history(connection: &mut SqliteConnection, agent_id: &str) -> Result<usize> {
    let mut page = state_transitions::table
        .filter(state_transitions::namespace.eq(NAMESPACE))
        .filter(state_transitions::agent_id.eq(agent_id))
        .order(state_transitions::seq.desc())
        .limit(101)
        .select(TransitionRow::as_select())
        .load(connection)?
        .into_iter()
        .map(TransitionRow::decode)
        .collect::<Result<Vec<_>>>()?;
    page.truncate(100);
    Ok(black_box(page).len())
}

fn search(connection: &mut SqliteConnection, word: &str) -> Result<usize> {
    let page = events::table
        .filter(events::namespace.eq(NAMESPACE))
        .filter(events::content.like(format!("%{word}%")))
        .order(events::seq.desc())
        .limit(100)
        .select(EventRow::as_select())
        .load(connection)?
        .into_iter()
        .map(EventRow::decode)
        .collect::<Result<Vec<_>>>()?;
    Ok(black_box(page).len())
}

pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}
