-- Keeps the highest revision of purged rows, so that revisions never come again.
CREATE TABLE revision_floors (
    namespace text COLLATE "C" NOT NULL DEFAULT '',
    aggregate text COLLATE "C" NOT NULL CHECK (aggregate IN ('agent', 'snapshot', 'task', 'session')),
    revision bigint NOT NULL,
    PRIMARY KEY (namespace, aggregate)
);
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0009', '75696b09cf67fe71bd3a88381a2ab515');
