//! The one place of PRAGMAs and SQL: every contestant that writes SQL by hand uses these.

use crate::workload::Durability;

/// The PRAGMAs of a connection, as our own store sets them (`src/engine/pragma.rs` of the main crate): keep the two
/// alike. WAL and auto_vacuum lie in the file, which our store has made.
#[must_use]
pub fn pragmas(durability: Durability) -> Vec<(&'static str, &'static str)> {
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    vec![
        ("busy_timeout", "30000"),
        ("synchronous", synchronous),
        ("foreign_keys", "ON"),
        ("ignore_check_constraints", "OFF"),
        ("writable_schema", "OFF"),
        ("recursive_triggers", "OFF"),
        ("wal_autocheckpoint", "4000"),
        ("journal_size_limit", "67108864"),
    ]
}

/// What the hand-written contestants say to SQLite. A limit is a literal, since a bound one costs a prepare a call.
///
/// Inside a transaction `RETURNING` makes SQLite copy each page that it is about to change: appends ask for the last
/// rowid instead, and the saves come in two forms, so that each contestant can use what is faster for it.
pub mod statements {
    pub const BEGIN: &str = "BEGIN IMMEDIATE";
    pub const COMMIT: &str = "COMMIT";
    pub const ROLLBACK: &str = "ROLLBACK";

    macro_rules! save_agent {
        () => {
            "\
            INSERT INTO agent_states (key, namespace, agent_id, name, status, metadata, state_data, \
                state_data_codec, version, created_at, updated_at, recorded_at, is_deleted, revision) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, 1) \
            ON CONFLICT (key) DO UPDATE SET name = excluded.name, status = excluded.status, \
                metadata = excluded.metadata, state_data = excluded.state_data, \
                state_data_codec = excluded.state_data_codec, version = excluded.version, \
                updated_at = excluded.updated_at, recorded_at = excluded.recorded_at, \
                created_at = CASE WHEN is_deleted THEN excluded.created_at ELSE created_at END, \
                is_deleted = 0, revision = revision + 1"
        };
    }
    pub const SAVE_AGENT: &str = save_agent!();
    pub const SAVE_AGENT_RETURNING: &str = concat!(save_agent!(), " RETURNING revision");
    pub const AGENT_REVISION: &str = "SELECT revision FROM agent_states WHERE key = ?1";

    pub const LOAD_AGENT: &str = "\
        SELECT key, namespace, agent_id, name, status, metadata, state_data, state_data_codec, version, created_at, \
            updated_at, is_deleted, revision, recorded_at \
        FROM agent_states WHERE key = ?1 AND NOT is_deleted";

    /// One row more than the page, to know whether another follows.
    pub const LIST_AGENTS: &str = "\
        SELECT key, namespace, agent_id, name, status, metadata, state_data, state_data_codec, version, created_at, \
            updated_at, is_deleted, revision, recorded_at \
        FROM agent_states WHERE namespace = ?1 AND NOT is_deleted AND agent_id > ?2 \
        ORDER BY agent_id LIMIT 101";

    /// The same page, of the eight fields that a caller sees, and the codec that one of them needs.
    pub const LIST_STATES: &str = "\
        SELECT agent_id, name, status, metadata, state_data, state_data_codec, version, created_at, updated_at \
        FROM agent_states WHERE namespace = ?1 AND NOT is_deleted AND agent_id > ?2 \
        ORDER BY agent_id LIMIT 101";

    pub const APPEND_EVENT: &str = "\
        INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, \
            metadata, git_commit, created_at, recorded_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

    pub const INDEX_EVENTS: &str = "\
        INSERT INTO events_search (rowid, namespace_word, content) \
        SELECT seq, namespace_word, content FROM events_search_source \
        WHERE seq > coalesce((SELECT max(id) FROM events_search_docsize), 0)";

    /// `+` keeps the index on the namespace out: going back through the table itself is faster here.
    pub const SEARCH_EVENTS: &str = "\
        SELECT seq, namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, \
            git_commit, created_at, recorded_at \
        FROM events WHERE +namespace = ?1 AND content LIKE ?2 ORDER BY seq DESC LIMIT 100";

    /// The same by the full-text index.
    pub const MATCH_EVENTS: &str = "\
        SELECT seq, namespace, id, event_type, timestamp, session_id, actor_type, actor_id, events.content, \
            metadata, git_commit, created_at, recorded_at \
        FROM events_search JOIN events ON seq = events_search.rowid \
        WHERE +namespace = ?1 AND events_search MATCH ?2 ORDER BY events_search.rowid DESC LIMIT 100";

    pub const RECORD_TRANSITION: &str = "\
        INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_before_codec, state_after, \
            state_after_codec, reason, timestamp, metadata, recorded_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

    /// The transition of a step, before the agent is saved: what it comes from is copied inside SQLite.
    pub const RECORD_STEP: &str = "\
        INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_before_codec, state_after, \
            state_after_codec, reason, timestamp, recorded_at) \
        SELECT namespace, ?2, agent_id, state_data, state_data_codec, ?3, ?4, ?5, ?6, ?7 \
        FROM agent_states WHERE key = ?1";

    /// One row more than the page, as for the list of agents.
    pub const HISTORY: &str = "\
        SELECT seq, namespace, id, agent_id, state_before, state_before_codec, state_after, state_after_codec, \
            reason, timestamp, metadata, recorded_at \
        FROM state_transitions WHERE namespace = ?1 AND agent_id = ?2 ORDER BY seq DESC LIMIT 101";

    macro_rules! save_task {
        () => {
            "\
            INSERT INTO tasks (namespace, id, title, description, status, assigned_to, created_at, updated_at, \
                metadata, recorded_at, is_deleted, revision) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 1) \
            ON CONFLICT (namespace, id) DO UPDATE SET title = excluded.title, \
                description = excluded.description, status = excluded.status, \
                assigned_to = excluded.assigned_to, metadata = excluded.metadata, \
                updated_at = excluded.updated_at, recorded_at = excluded.recorded_at, \
                created_at = CASE WHEN is_deleted THEN excluded.created_at ELSE created_at END, \
                is_deleted = 0, revision = revision + 1"
        };
    }
    pub const SAVE_TASK: &str = save_task!();
    pub const SAVE_TASK_RETURNING: &str = concat!(save_task!(), " RETURNING revision");
    pub const TASK_REVISION: &str = "SELECT revision FROM tasks WHERE namespace = ?1 AND id = ?2";
}
