-- The table of events: what users, agents and the system said and did; rows are never changed.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    timestamp BIGINT NOT NULL,
    session_id TEXT NOT NULL,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('user', 'agent', 'system')),
    actor_id TEXT NOT NULL,
    content TEXT NOT NULL,
    metadata TEXT CHECK (json_valid(metadata)),
    git_commit TEXT,
    created_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    UNIQUE (namespace, id),
    CHECK (typeof(timestamp) = 'integer' AND typeof(created_at) = 'integer'
        AND typeof(recorded_at) = 'integer')
);

CREATE TRIGGER events_are_final BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events is append-only');
END;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0004', '3adfe24dc1e76a1933d9b420c01c06ec');
