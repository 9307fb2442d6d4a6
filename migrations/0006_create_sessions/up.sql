-- The table of sessions: stretches of work of an agent, from start to end.
CREATE TABLE sessions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    status TEXT NOT NULL CHECK (status IN
        ('active', 'suspended', 'completed', 'failed', 'terminated', 'abandoned')),
    metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    is_deleted BOOLEAN NOT NULL DEFAULT FALSE CHECK (is_deleted IN (0, 1)),
    revision BIGINT NOT NULL DEFAULT 1,
    recorded_at BIGINT NOT NULL,
    UNIQUE (namespace, id),
    CHECK (typeof(started_at) = 'integer' AND typeof(ended_at) IN ('integer', 'null')
        AND typeof(created_at) = 'integer' AND typeof(updated_at) = 'integer'
        AND typeof(revision) = 'integer' AND typeof(recorded_at) = 'integer')
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0006', '78b51b903bd4fee351a85e0a75a80c1a');
