DROP TRIGGER events_leave_search;
DROP TABLE events_search;
DROP VIEW events_search_source;
DELETE FROM migration_fingerprints WHERE version = '0008';
