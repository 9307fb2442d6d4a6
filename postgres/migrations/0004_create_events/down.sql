DROP TABLE events;
DELETE FROM migration_fingerprints WHERE version = '0004';
