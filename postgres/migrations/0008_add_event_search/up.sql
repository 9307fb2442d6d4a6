-- Full-text search of event content, by words that the store prepares itself.
-- NULL where it has prepared none: the text has too many for one vector, or the row was not inserted by the store. A search then
-- looks into the text.
ALTER TABLE events ADD COLUMN search_words tsvector;
CREATE INDEX events_by_words ON events USING gin (search_words);
CREATE INDEX events_without_words ON events (namespace, seq) WHERE search_words IS NULL;
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0008', '1bb1c2a0bf7fda1e5541b79d1bae7f49');
