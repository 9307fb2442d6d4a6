-- The table of tasks: work to be done, and which agent does it.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace TEXT NOT NULL DEFAULT '',
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL CHECK (status IN
        ('todo', 'in_progress', 'blocked', 'done', 'failed', 'cancelled', 'dead')),
    assigned_to TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    is_deleted BOOLEAN NOT NULL DEFAULT FALSE CHECK (is_deleted IN (0, 1)),
    revision BIGINT NOT NULL DEFAULT 1,
    recorded_at BIGINT NOT NULL,
    UNIQUE (namespace, id),
    CHECK (typeof(created_at) = 'integer' AND typeof(updated_at) = 'integer'
        AND typeof(revision) = 'integer' AND typeof(recorded_at) = 'integer')
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0005', 'ff49b2a15f27c2f9bf2708fa52fbc404');
