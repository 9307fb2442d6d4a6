//! What each write of the store is, as plain Diesel, written by somebody who doesn't know how the store does it.

use descartes_state::diesel;
use descartes_state::diesel::dsl::{case_when, exists, not, select};
use descartes_state::diesel::prelude::*;
use descartes_state::diesel::sql_types::BigInt;
use descartes_state::schema::{
    agent_states, events, sessions, state_snapshots, state_transitions, tasks,
};
use descartes_state::serde_json::Value;
use descartes_state::{AgentState, Event, Session, Task};

fn json(value: Option<&Value>) -> Option<String> {
    value.map(Value::to_string)
}

fn key(namespace: &str, agent_id: &str) -> String {
    format!("{namespace}:{agent_id}")
}

macro_rules! changed {
    ($connection:expr, $table:ident, $row:expr, $now:expr, $change:expr) => {{
        use descartes_state::schema::$table as columns;
        let update = diesel::update(columns::table.filter($row)).set((
            $change,
            columns::updated_at.eq($now),
            columns::recorded_at.eq($now * 1_000_000),
            columns::revision.eq(columns::revision + 1),
        ));
        update.execute($connection).map(|rows| rows == 1)
    }};
}

/// The changes that agents, tasks and sessions have in common; whether there was such a row.
macro_rules! changes {
    ($module:ident, $table:ident, $id:ident) => {
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn set_status(
                connection: &mut SqliteConnection,
                (namespace, id): (&str, &str),
                status: &str,
                now: i64,
            ) -> QueryResult<bool> {
                let row = $table::namespace.eq(namespace).and($table::$id.eq(id));
                let row = row.and(not($table::is_deleted));
                changed!(connection, $table, row, now, $table::status.eq(status))
            }

            marks!($table, $id);
        }
    };
}

/// Deletion, and taking it back.
macro_rules! marks {
    ($table:ident, $id:ident) => {
        pub(crate) fn mark(
            connection: &mut SqliteConnection,
            (namespace, id): (&str, &str),
            is_deleted: bool,
            now: i64,
        ) -> QueryResult<bool> {
            let row = || $table::namespace.eq(namespace).and($table::$id.eq(id));
            let is_there: bool =
                select(exists($table::table.filter(row()))).get_result(connection)?;
            let row = row().and($table::is_deleted.eq(!is_deleted));
            let change = $table::is_deleted.eq(is_deleted);
            let is_changed = changed!(connection, $table, row, now, change)?;
            // Taking back what wasn't deleted is no error.
            Ok(is_changed || (!is_deleted && is_there))
        }
    };
}

changes!(agent_rows, agent_states, agent_id);
changes!(task_rows, tasks, id);

pub(crate) mod session_rows {
    use super::*;

    marks!(sessions, id);
}

pub(crate) fn save_agent(
    connection: &mut SqliteConnection,
    namespace: &str,
    state: &AgentState,
    now: i64,
) -> QueryResult<bool> {
    use agent_states as columns;
    let row = columns::namespace
        .eq(namespace)
        .and(columns::agent_id.eq(&state.agent_id));
    let change = (
        columns::name.eq(&state.name),
        columns::metadata.eq(state.metadata.to_string()),
        columns::state_data.eq(&state.state_data),
        columns::state_data_codec.eq(0),
        columns::version.eq(state.version),
        columns::status.eq(&state.status),
        columns::updated_at.eq(state.updated_at),
        columns::recorded_at.eq(now * 1_000_000),
    );
    let created_at = case_when(columns::is_deleted, state.created_at.into_sql::<BigInt>())
        .otherwise(columns::created_at);
    let updated = diesel::update(columns::table.filter(row))
        .set((
            change.clone(),
            columns::created_at.eq(created_at),
            columns::is_deleted.eq(false),
            columns::revision.eq(columns::revision + 1),
        ))
        .execute(connection)?;
    if updated == 0 {
        diesel::insert_into(columns::table)
            .values((
                columns::key.eq(key(namespace, &state.agent_id)),
                columns::namespace.eq(namespace),
                columns::agent_id.eq(&state.agent_id),
                change,
                columns::created_at.eq(state.created_at),
                columns::is_deleted.eq(false),
                columns::revision.eq(1),
            ))
            .execute(connection)?;
    }
    Ok(true)
}

pub(crate) fn save_task(
    connection: &mut SqliteConnection,
    namespace: &str,
    task: &Task,
    now: i64,
) -> QueryResult<bool> {
    use tasks as columns;
    let id = task.id.to_string();
    let row = columns::namespace.eq(namespace).and(columns::id.eq(&id));
    let change = (
        columns::title.eq(&task.title),
        columns::description.eq(&task.description),
        columns::status.eq(task.status.to_string()),
        columns::assigned_to.eq(&task.assigned_to),
        columns::metadata.eq(json(task.metadata.as_ref())),
        columns::updated_at.eq(task.updated_at),
        columns::recorded_at.eq(now * 1_000_000),
    );
    let created_at = case_when(columns::is_deleted, task.created_at.into_sql::<BigInt>())
        .otherwise(columns::created_at);
    let updated = diesel::update(columns::table.filter(row))
        .set((
            change.clone(),
            columns::created_at.eq(created_at),
            columns::is_deleted.eq(false),
            columns::revision.eq(columns::revision + 1),
        ))
        .execute(connection)?;
    if updated == 0 {
        diesel::insert_into(columns::table)
            .values((
                columns::namespace.eq(namespace),
                columns::id.eq(&id),
                change,
                columns::created_at.eq(task.created_at),
                columns::revision.eq(1),
            ))
            .execute(connection)?;
    }
    Ok(true)
}

pub(crate) fn save_session(
    connection: &mut SqliteConnection,
    namespace: &str,
    session: &Session,
    now: i64,
) -> QueryResult<bool> {
    use sessions as columns;
    let row = columns::namespace
        .eq(namespace)
        .and(columns::id.eq(&session.id));
    let change = (
        columns::agent_id.eq(&session.agent_id),
        columns::ended_at.eq(session.ended_at),
        columns::status.eq(session.status.to_string()),
        columns::metadata.eq(json(session.metadata.as_ref())),
        columns::updated_at.eq(now),
        columns::recorded_at.eq(now * 1_000_000),
    );
    let created_at =
        case_when(columns::is_deleted, now.into_sql::<BigInt>()).otherwise(columns::created_at);
    let start = session.started_at.unwrap_or(now);
    // Without a start of the caller's, a session that goes on keeps its own.
    let kept = session.started_at.is_none();
    let started_at = case_when(
        columns::is_deleted
            .eq(false)
            .and(kept.into_sql::<diesel::sql_types::Bool>()),
        columns::started_at,
    )
    .otherwise(start);
    let updated = diesel::update(columns::table.filter(row))
        .set((
            change.clone(),
            columns::started_at.eq(started_at),
            columns::created_at.eq(created_at),
            columns::is_deleted.eq(false),
            columns::revision.eq(columns::revision + 1),
        ))
        .execute(connection)?;
    if updated == 0 {
        diesel::insert_into(columns::table)
            .values((
                columns::namespace.eq(namespace),
                columns::id.eq(&session.id),
                change,
                columns::started_at.eq(start),
                columns::created_at.eq(now),
                columns::revision.eq(1),
            ))
            .execute(connection)?;
    }
    Ok(true)
}

/// Sets the end of a session that isn't over, or with `None` only its time.
pub(crate) fn touch_or_end(
    connection: &mut SqliteConnection,
    (namespace, id): (&str, &str),
    status: Option<&str>,
    now: i64,
) -> QueryResult<bool> {
    use sessions as columns;
    let row = columns::namespace
        .eq(namespace)
        .and(columns::id.eq(id))
        .and(not(columns::is_deleted))
        .and(columns::status.eq_any(["active", "suspended"]));
    match status {
        None => changed!(
            connection,
            sessions,
            row,
            now,
            columns::agent_id.eq(columns::agent_id)
        ),
        Some(status) => {
            let change = (columns::status.eq(status), columns::ended_at.eq(now));
            changed!(connection, sessions, row, now, change)
        }
    }
}

/// What there is to say of a transition.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) agent_id: String,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) reason: Option<String>,
    pub(crate) metadata: Option<Value>,
}

/// With the id that the store chose.
pub(crate) fn record(
    connection: &mut SqliteConnection,
    (namespace, id): (&str, &str),
    draft: &Draft,
    now: i64,
) -> QueryResult<bool> {
    use state_transitions as columns;
    diesel::insert_into(columns::table)
        .values((
            columns::namespace.eq(namespace),
            columns::id.eq(id),
            columns::agent_id.eq(&draft.agent_id),
            columns::state_before.eq(&draft.before),
            columns::state_before_codec.eq(0),
            columns::state_after.eq(&draft.after),
            columns::state_after_codec.eq(0),
            columns::reason.eq(&draft.reason),
            columns::timestamp.eq(now),
            columns::metadata.eq(json(draft.metadata.as_ref())),
            columns::recorded_at.eq(now * 1_000_000),
        ))
        .execute(connection)?;
    Ok(true)
}

/// False where the id holds other content.
pub(crate) fn append(
    connection: &mut SqliteConnection,
    namespace: &str,
    event: &Event,
    now: i64,
) -> QueryResult<bool> {
    use events as columns;
    let id = event.id.to_string();
    let row = columns::namespace.eq(namespace).and(columns::id.eq(&id));
    let values = (
        columns::event_type.eq(&event.event_type),
        columns::timestamp.eq(event.timestamp),
        columns::session_id.eq(&event.session_id),
        columns::actor_type.eq(event.actor_type.to_string()),
        columns::actor_id.eq(&event.actor_id),
        columns::content.eq(&event.content),
        columns::metadata.eq(json(event.metadata.as_ref())),
        columns::git_commit.eq(&event.git_commit),
    );
    type Stored = (String, Option<String>, Option<String>);
    let stored: Option<Stored> = columns::table
        .filter(row)
        .select((columns::content, columns::metadata, columns::git_commit))
        .get_result(connection)
        .optional()?;
    if let Some(stored) = stored {
        let own = (
            &event.content,
            &json(event.metadata.as_ref()),
            &event.git_commit,
        );
        return Ok((&stored.0, &stored.1, &stored.2) == own);
    }
    diesel::insert_into(columns::table)
        .values((
            columns::namespace.eq(namespace),
            columns::id.eq(&id),
            values,
            columns::created_at.eq(now),
            columns::recorded_at.eq(now * 1_000_000),
        ))
        .execute(connection)?;
    Ok(true)
}

/// What a snapshot copies of the agent's row.
type Copied = (String, String, String, String, i64, i64);

/// With the id that the store chose, where it made one; false where there is no such agent.
pub(crate) fn snapshot(
    connection: &mut SqliteConnection,
    (namespace, agent_id): (&str, &str),
    id: &str,
    (description, expires_at): (Option<&str>, Option<i64>),
    now: i64,
) -> QueryResult<bool> {
    use state_snapshots as columns;
    let copied: Option<Copied> = agent_states::table
        .filter(agent_states::namespace.eq(namespace))
        .filter(agent_states::agent_id.eq(agent_id))
        .filter(not(agent_states::is_deleted))
        .select((
            agent_states::name,
            agent_states::status,
            agent_states::metadata,
            agent_states::state_data,
            agent_states::state_data_codec,
            agent_states::version,
        ))
        .get_result(connection)
        .optional()?;
    let Some((name, status, metadata, state_data, codec, version)) = copied else {
        return Ok(false);
    };
    diesel::insert_into(columns::table)
        .values((
            columns::namespace.eq(namespace),
            columns::id.eq(id),
            columns::agent_id.eq(agent_id),
            columns::name.eq(name),
            columns::status.eq(status),
            columns::metadata.eq(metadata),
            columns::state_data.eq(state_data),
            columns::state_data_codec.eq(codec),
            columns::version.eq(version),
            columns::description.eq(description),
            columns::created_at.eq(now),
            columns::expires_at.eq(expires_at),
            columns::revision.eq(1),
            columns::recorded_at.eq(now * 1_000_000),
        ))
        .execute(connection)?;
    Ok(true)
}
