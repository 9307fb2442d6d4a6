-- The table of snapshots: whole states of agents to go back to, with all that a restore needs.
CREATE TABLE state_snapshots (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    state_data TEXT NOT NULL,
    state_data_codec BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL,
    description TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revision BIGINT NOT NULL DEFAULT 1,
    recorded_at BIGINT NOT NULL,
    UNIQUE (namespace, id),
    CHECK (typeof(state_data_codec) = 'integer' AND typeof(version) = 'integer'
        AND typeof(created_at) = 'integer' AND typeof(expires_at) IN ('integer', 'null')
        AND typeof(revision) = 'integer' AND typeof(recorded_at) = 'integer')
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0003', '9e16da43208bdb9d7a698ad0d8e62c41');
