DROP TABLE sessions;
DELETE FROM migration_fingerprints WHERE version = '0006';
