DROP TABLE state_snapshots;
DELETE FROM migration_fingerprints WHERE version = '0003';
