-- The table of agent states: the current state of each agent, one row an agent and namespace.

-- From which text each migration was applied: migrations may still be edited before the first release, and a database that an
-- older text made must not half fit.
CREATE TABLE migration_fingerprints (
    version text COLLATE "C" PRIMARY KEY,
    fingerprint text COLLATE "C" NOT NULL
);

-- Which store it is: one row.
CREATE TABLE store_identity (
    store_id text COLLATE "C" PRIMARY KEY,
    settlements bigint NOT NULL DEFAULT 0
);
INSERT INTO store_identity (store_id) VALUES (replace(gen_random_uuid()::text, '-', ''));

-- Whether the server has crashed since: then this table is empty, as is that of a server that took over from another. A crash may
-- lose transactions that were never told of as committed, and their numbers are given again, to others.
CREATE UNLOGGED TABLE crash_witness (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    token text COLLATE "C" NOT NULL
);

-- A transaction that is going to draw numbers of a sequence first says, by a lock, from which number on: numbers are drawn before
-- the commit, so that a row may become visible after one with a higher number. A reader that follows the table stops at the
-- lowest such lock. Once a transaction: the setting goes with it, or with the savepoint, as the lock does.
CREATE FUNCTION draw_number(source regclass) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    is_held CONSTANT text := 'descartes_state.draws_from_' || source::oid;
BEGIN
    IF current_setting(is_held, true) IS DISTINCT FROM 'yes' THEN
        PERFORM pg_advisory_xact_lock_shared(
            source::oid::int,
            (coalesce(pg_sequence_last_value(source), 0) & 2147483647)::int
        );
        PERFORM set_config(is_held, 'yes', true);
    END IF;
    RETURN nextval(source);
END
$$;

-- Recorded rows never change.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END
$$;

CREATE TABLE agent_states (
    key text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    agent_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    metadata text COLLATE "C" NOT NULL CHECK (metadata::json IS NOT NULL),
    state_data bytea NOT NULL,
    state_data_codec bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    is_deleted boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    recorded_at bigint NOT NULL
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0001', 'e2775ae35cbeeb28615515bb9d730e8e');
