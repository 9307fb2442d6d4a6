DROP TRIGGER events_leave_search;
DROP TABLE events_search;
DROP VIEW events_search_source;
