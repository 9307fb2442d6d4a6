DROP TABLE revision_floors;
DELETE FROM migration_fingerprints WHERE version = '0009';
