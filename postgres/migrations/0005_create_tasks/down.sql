DROP TABLE tasks;
DELETE FROM migration_fingerprints WHERE version = '0005';
