-- The table of agent states: the current state of each agent, one row an agent and namespace.
-- 1145393996 is 'DESL' in ASCII: `file` and the store know our files by it.
PRAGMA application_id = 1145393996;

-- From which text each migration was applied: migrations may still be edited before the first release, and a file that an
-- older text made must not half fit.
CREATE TABLE migration_fingerprints (
    version TEXT PRIMARY KEY NOT NULL,
    fingerprint TEXT NOT NULL
);

-- Which store it is, whatever its file is called: one row. A commit whose outcome is unknown is settled by counting here.
CREATE TABLE store_identity (
    store_id TEXT PRIMARY KEY NOT NULL,
    settlements BIGINT NOT NULL DEFAULT 0
);
INSERT INTO store_identity (store_id) VALUES (lower(hex(randomblob(16))));

CREATE TABLE agent_states (
    key TEXT PRIMARY KEY NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    agent_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    state_data TEXT NOT NULL,
    state_data_codec BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    is_deleted BOOLEAN NOT NULL DEFAULT FALSE CHECK (is_deleted IN (0, 1)),
    revision BIGINT NOT NULL DEFAULT 1,
    recorded_at BIGINT NOT NULL,
    -- SQLite keeps '2026-11-23' in a BIGINT column as text, and reads it back as 2026.
    CHECK (typeof(state_data_codec) = 'integer' AND typeof(version) = 'integer'
        AND typeof(created_at) = 'integer' AND typeof(updated_at) = 'integer'
        AND typeof(revision) = 'integer' AND typeof(recorded_at) = 'integer')
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0001', 'bb9aefaeaffb51927b5f08855a825063');
