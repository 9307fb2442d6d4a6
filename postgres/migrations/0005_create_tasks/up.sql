-- The table of tasks: work to be done, and which agent does it.
CREATE SEQUENCE tasks_seq AS bigint;
CREATE TABLE tasks (
    seq bigint PRIMARY KEY DEFAULT draw_number('tasks_seq'),
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    id text COLLATE "C" NOT NULL,
    title text COLLATE "C" NOT NULL,
    description text COLLATE "C",
    status text COLLATE "C" NOT NULL CHECK (status IN
        ('todo', 'in_progress', 'blocked', 'done', 'failed', 'cancelled', 'dead')),
    assigned_to text COLLATE "C",
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    metadata text COLLATE "C" CHECK (metadata::json IS NOT NULL OR metadata IS NULL),
    is_deleted boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    recorded_at bigint NOT NULL,
    UNIQUE (namespace, id)
);
ALTER SEQUENCE tasks_seq OWNED BY tasks.seq;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0005', '17820b3626ceaec327f6a1b822047e10');
