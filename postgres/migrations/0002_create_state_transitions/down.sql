DROP TABLE state_transitions;
DELETE FROM migration_fingerprints WHERE version = '0002';
