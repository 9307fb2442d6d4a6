-- Full-text search of event content (FTS5).
-- The index holds the namespace as one word, so that other tenants' rows cost nothing.
-- Symbols and emoji are words too (So); by default only letters, digits and private characters are.
-- hex() makes one token of any prefix, and the letter keeps the empty prefix from being none.
CREATE VIEW events_search_source AS
    SELECT seq, 'n' || hex(namespace) AS namespace_word, coalesce(search_text, content) AS content FROM events;

CREATE VIRTUAL TABLE events_search USING fts5(
    namespace_word, content,
    content = 'events_search_source', content_rowid = 'seq',
    tokenize = 'unicode61 remove_diacritics 2 categories ''L* N* Co So'''
);

-- The store indexes rows in blocks, not by a trigger (a third of the cost); the delete has to be one.
-- A row that isn't indexed yet must not be taken out: that would corrupt the index.
CREATE TRIGGER events_leave_search AFTER DELETE ON events
WHEN EXISTS (SELECT 1 FROM events_search_docsize WHERE id = old.seq)
BEGIN
    INSERT INTO events_search (events_search, rowid, namespace_word, content)
    VALUES ('delete', old.seq, 'n' || hex(old.namespace), coalesce(old.search_text, old.content));
END;

INSERT INTO events_search (events_search) VALUES ('rebuild');
INSERT INTO migration_fingerprints (version, fingerprint) VALUES ('0008', 'a25105eb6d2c9c926f62b36615b25f51');
