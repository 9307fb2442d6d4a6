-- The table of state transitions, with the reason of each; rows are never changed.
CREATE SEQUENCE state_transitions_seq AS bigint;
CREATE TABLE state_transitions (
    seq bigint PRIMARY KEY DEFAULT draw_number('state_transitions_seq'),
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    state_before bytea NOT NULL,
    state_before_codec bigint NOT NULL DEFAULT 0,
    state_after bytea NOT NULL,
    state_after_codec bigint NOT NULL DEFAULT 0,
    reason text COLLATE "C",
    timestamp bigint NOT NULL,
    metadata text COLLATE "C" CHECK (metadata::json IS NOT NULL OR metadata IS NULL),
    recorded_at bigint NOT NULL,
    UNIQUE (namespace, id)
);
ALTER SEQUENCE state_transitions_seq OWNED BY state_transitions.seq;

CREATE TRIGGER state_transitions_are_final BEFORE UPDATE ON state_transitions
FOR EACH ROW EXECUTE FUNCTION refuse_change();
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0002', '1a1138e5325a18fb418254708d94e4cc');
