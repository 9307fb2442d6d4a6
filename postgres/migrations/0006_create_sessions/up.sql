-- The table of sessions: stretches of work of an agent, from start to end.
CREATE SEQUENCE sessions_seq AS bigint;
CREATE TABLE sessions (
    seq bigint PRIMARY KEY DEFAULT draw_number('sessions_seq'),
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint,
    status text COLLATE "C" NOT NULL CHECK (status IN
        ('active', 'suspended', 'completed', 'failed', 'terminated', 'abandoned')),
    metadata text COLLATE "C" CHECK (metadata::json IS NOT NULL OR metadata IS NULL),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    is_deleted boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    recorded_at bigint NOT NULL,
    UNIQUE (namespace, id)
);
ALTER SEQUENCE sessions_seq OWNED BY sessions.seq;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0006', 'df6d567a1e5b01517713698c7a39ec3b');
