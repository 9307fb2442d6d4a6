-- The table of state transitions, with the reason of each; rows are never changed.
CREATE TABLE state_transitions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    state_before TEXT NOT NULL,
    state_before_codec BIGINT NOT NULL DEFAULT 0,
    state_after TEXT NOT NULL,
    state_after_codec BIGINT NOT NULL DEFAULT 0,
    reason TEXT,
    timestamp BIGINT NOT NULL,
    metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    recorded_at BIGINT NOT NULL,
    UNIQUE (namespace, id),
    CHECK (typeof(state_before_codec) = 'integer' AND typeof(state_after_codec) = 'integer'
        AND typeof(timestamp) = 'integer' AND typeof(recorded_at) = 'integer')
);

CREATE TRIGGER state_transitions_are_final BEFORE UPDATE ON state_transitions
BEGIN
    SELECT RAISE(ABORT, 'state_transitions is append-only');
END;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0002', 'e26046398d5bc16ce4ff051dbe32e077');
