DROP TABLE agent_states;
DROP FUNCTION refuse_change;
DROP FUNCTION draw_number;
DROP TABLE crash_witness;
DROP TABLE store_identity;
DROP TABLE migration_fingerprints;
