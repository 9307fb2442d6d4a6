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
    metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    git_commit TEXT,
    created_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    -- The words of content, where the search would not find them in content itself.
    search_text TEXT,
    UNIQUE (namespace, id),
    CHECK (typeof(timestamp) = 'integer' AND typeof(created_at) = 'integer'
        AND typeof(recorded_at) = 'integer')
);

CREATE TRIGGER events_are_final BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events is append-only');
END;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0004', 'ff3fcc2bccb494afe18d1e8e037390b5');
