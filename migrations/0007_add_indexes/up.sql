-- Indexes for every list: in order of sequence, and within a time range.
-- The rowid (seq) ends every index entry, so (namespace, x) also lists x in order of sequence. Where a time follows seq, a time
-- range is checked inside the index, entry by entry: an index of its own would cost each append one more page of the log.
CREATE UNIQUE INDEX agent_states_by_agent ON agent_states (namespace, agent_id);
CREATE INDEX agent_states_by_status ON agent_states (namespace, status, agent_id) WHERE NOT is_deleted;

CREATE INDEX state_transitions_by_sequence ON state_transitions (namespace);
CREATE INDEX state_transitions_by_time ON state_transitions (namespace, timestamp);
CREATE INDEX state_transitions_by_agent ON state_transitions (namespace, agent_id, seq, timestamp);

CREATE INDEX state_snapshots_by_sequence ON state_snapshots (namespace);
CREATE INDEX state_snapshots_by_time ON state_snapshots (namespace, created_at, expires_at);
CREATE INDEX state_snapshots_by_agent ON state_snapshots (namespace, agent_id);
CREATE INDEX state_snapshots_by_agent_time ON state_snapshots (namespace, agent_id, created_at, expires_at);
CREATE INDEX state_snapshots_by_expiry ON state_snapshots (namespace, expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX events_by_sequence ON events (namespace);
CREATE INDEX events_by_time ON events (namespace, timestamp);
CREATE INDEX events_by_session ON events (namespace, session_id, seq, timestamp);
CREATE INDEX events_by_type ON events (namespace, event_type, seq, timestamp);
CREATE INDEX events_by_actor ON events (namespace, actor_id, seq, timestamp);

CREATE INDEX tasks_by_sequence ON tasks (namespace);
CREATE INDEX tasks_by_update ON tasks (namespace, updated_at) WHERE NOT is_deleted;
CREATE INDEX tasks_by_status ON tasks (namespace, status) WHERE NOT is_deleted;
CREATE INDEX tasks_by_assignee ON tasks (namespace, assigned_to) WHERE NOT is_deleted;
CREATE INDEX tasks_by_assignee_status ON tasks (namespace, assigned_to, status) WHERE NOT is_deleted;

CREATE INDEX sessions_by_sequence ON sessions (namespace);
CREATE INDEX sessions_by_time ON sessions (namespace, started_at) WHERE NOT is_deleted;
CREATE INDEX sessions_by_status ON sessions (namespace, status) WHERE NOT is_deleted;
CREATE INDEX sessions_by_agent ON sessions (namespace, agent_id) WHERE NOT is_deleted;
CREATE INDEX sessions_by_agent_status ON sessions (namespace, agent_id, status) WHERE NOT is_deleted;
CREATE INDEX sessions_by_agent_time ON sessions (namespace, agent_id, started_at, is_deleted) WHERE NOT is_deleted;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0007', '5c53eb7d53540aab236754460a77e7aa');
