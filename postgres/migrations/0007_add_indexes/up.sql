-- Indexes for every list: in order of sequence, and within a time range.
CREATE UNIQUE INDEX agent_states_by_agent ON agent_states (namespace, agent_id);
CREATE INDEX agent_states_by_status ON agent_states (namespace, status, agent_id) WHERE NOT is_deleted;

CREATE INDEX state_transitions_by_sequence ON state_transitions (namespace, seq);
CREATE INDEX state_transitions_by_time ON state_transitions (namespace, timestamp, seq);
CREATE INDEX state_transitions_by_agent ON state_transitions (namespace, agent_id, seq, timestamp);

CREATE INDEX state_snapshots_by_sequence ON state_snapshots (namespace, seq);
CREATE INDEX state_snapshots_by_time ON state_snapshots (namespace, created_at, seq);
CREATE INDEX state_snapshots_by_agent ON state_snapshots (namespace, agent_id, seq, created_at);
CREATE INDEX state_snapshots_by_expiry ON state_snapshots (namespace, expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX events_by_sequence ON events (namespace, seq);
CREATE INDEX events_by_time ON events (namespace, timestamp, seq);
CREATE INDEX events_by_session ON events (namespace, session_id, seq, timestamp);
CREATE INDEX events_by_type ON events (namespace, event_type, seq, timestamp);
CREATE INDEX events_by_actor ON events (namespace, actor_id, seq, timestamp);

CREATE INDEX tasks_by_sequence ON tasks (namespace, seq);
CREATE INDEX tasks_by_update ON tasks (namespace, updated_at, seq) WHERE NOT is_deleted;
CREATE INDEX tasks_by_status ON tasks (namespace, status, seq) WHERE NOT is_deleted;
CREATE INDEX tasks_by_assignee ON tasks (namespace, assigned_to, seq) WHERE NOT is_deleted;

CREATE INDEX sessions_by_sequence ON sessions (namespace, seq);
CREATE INDEX sessions_by_time ON sessions (namespace, started_at, seq) WHERE NOT is_deleted;
CREATE INDEX sessions_by_status ON sessions (namespace, status, seq) WHERE NOT is_deleted;
CREATE INDEX sessions_by_agent ON sessions (namespace, agent_id, seq, started_at) WHERE NOT is_deleted;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0007', '7bd65fc495321290d5d0754808fe5992');
