DROP INDEX events_without_words;
DROP INDEX events_by_words;
ALTER TABLE events DROP COLUMN search_words;
DELETE FROM migration_fingerprints WHERE version = '0008';
