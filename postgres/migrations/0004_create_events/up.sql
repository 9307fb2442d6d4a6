-- The table of events: what users, agents and the system said and did; rows are never changed.
CREATE SEQUENCE events_seq AS bigint;
CREATE TABLE events (
    seq bigint PRIMARY KEY DEFAULT draw_number('events_seq'),
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    id text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    timestamp bigint NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    actor_type text COLLATE "C" NOT NULL CHECK (actor_type IN ('user', 'agent', 'system')),
    actor_id text COLLATE "C" NOT NULL,
    content text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" CHECK (metadata::json IS NOT NULL OR metadata IS NULL),
    git_commit text COLLATE "C",
    created_at bigint NOT NULL,
    recorded_at bigint NOT NULL,
    -- The words of content, where the search would not find them in content itself.
    search_text text COLLATE "C",
    UNIQUE (namespace, id)
);
ALTER SEQUENCE events_seq OWNED BY events.seq;

CREATE TRIGGER events_are_final BEFORE UPDATE OF
    seq, namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, metadata, git_commit, created_at,
    recorded_at, search_text ON events
FOR EACH ROW EXECUTE FUNCTION refuse_change();
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0004', '4acb81d8e12d51b5c428c3a33feb12ff');
