-- The table of snapshots: whole states of agents to go back to, with all that a restore needs.
CREATE SEQUENCE state_snapshots_seq AS bigint;
CREATE TABLE state_snapshots (
    seq bigint PRIMARY KEY DEFAULT draw_number('state_snapshots_seq'),
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL CHECK (metadata::json IS NOT NULL),
    state_data bytea NOT NULL,
    state_data_codec bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    description text COLLATE "C",
    created_at bigint NOT NULL,
    expires_at bigint,
    revision bigint NOT NULL DEFAULT 1,
    recorded_at bigint NOT NULL,
    UNIQUE (namespace, id)
);
ALTER SEQUENCE state_snapshots_seq OWNED BY state_snapshots.seq;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0003', '0e705769863a73013256528c000bd9da');
