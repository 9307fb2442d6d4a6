-- Keeps the highest revision of purged rows, so that revisions never come again.
CREATE TABLE revision_floors (
    namespace TEXT NOT NULL DEFAULT '',
    aggregate TEXT NOT NULL CHECK (aggregate IN ('agent', 'snapshot', 'task', 'session')),
    revision BIGINT NOT NULL CHECK (typeof(revision) = 'integer'),
    PRIMARY KEY (namespace, aggregate)
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0009', '277812d0f2cd392973ecc3ccadf3ebed');
