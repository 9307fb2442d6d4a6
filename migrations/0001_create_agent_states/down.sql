DROP TABLE agent_states;
PRAGMA application_id = 0;
DROP TABLE store_identity;
DROP TABLE migration_fingerprints;
