//! What the peers say to the server, as one writes it by hand for these tables.

pub(super) const SAVE_AGENT: &str = "\
    INSERT INTO agent_states (key, namespace, agent_id, name, status, metadata, state_data, state_data_codec, version, \
        created_at, updated_at, recorded_at, is_deleted, revision) \
    VALUES ($1, '', $1, $2, $3, $4, $5, 0, $6, $7, $8, $9, false, 1) \
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, status = excluded.status, metadata = excluded.metadata, \
        state_data = excluded.state_data, state_data_codec = excluded.state_data_codec, version = excluded.version, \
        updated_at = excluded.updated_at, recorded_at = excluded.recorded_at, \
        created_at = CASE WHEN agent_states.is_deleted THEN excluded.created_at ELSE agent_states.created_at END, \
        is_deleted = false, revision = agent_states.revision + 1 \
    RETURNING revision";

pub(super) const RECORD_STEP: &str = "\
    INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_before_codec, state_after, \
        state_after_codec, reason, timestamp, recorded_at) \
    SELECT namespace, $2, agent_id, state_data, state_data_codec, $3, 0, $4, $5, $6 \
    FROM agent_states WHERE key = $1 FOR UPDATE";

pub(super) const APPEND_EVENT: &str = "\
    INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, \
        git_commit, created_at, recorded_at, search_words) \
    VALUES ('', $1, $2, $3, $4, $5, $6, $7::text, $8, $9, $10, $11, to_tsvector('simple', $7::text)) RETURNING seq";

pub(super) const APPEND_EVENTS: &str = "\
    INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, \
        git_commit, created_at, recorded_at, search_words) \
    SELECT '', id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, git_commit, $10, $11, \
        to_tsvector('simple', content) \
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
        $9::text[]) AS new (id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, git_commit) \
    RETURNING seq";

pub(super) const LOAD_AGENT: &str = "\
    SELECT key, namespace, agent_id, name, status, metadata, state_data, state_data_codec, version, created_at, \
        updated_at, is_deleted, revision, recorded_at \
    FROM agent_states WHERE key = $1 AND NOT is_deleted";

/// One row more than the page, to know whether another follows.
pub(super) const LIST_STATES: &str = "\
    SELECT agent_id, name, status, metadata, state_data, state_data_codec, version, created_at, updated_at \
    FROM agent_states WHERE namespace = '' AND NOT is_deleted AND agent_id > $1 ORDER BY agent_id LIMIT 101";

pub(super) const HISTORY: &str = "\
    SELECT seq, namespace, id, agent_id, state_before, state_before_codec, state_after, state_after_codec, \
        reason, timestamp, metadata, recorded_at \
    FROM state_transitions WHERE namespace = '' AND agent_id = $1 ORDER BY seq DESC LIMIT 101";

pub(super) const MATCH_EVENTS: &str = "\
    SELECT seq, namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, \
        git_commit, created_at, recorded_at \
    FROM events WHERE namespace = '' AND search_words @@ plainto_tsquery('simple', $1) ORDER BY seq DESC LIMIT 100";
