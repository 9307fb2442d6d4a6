CREATE TABLE reviews (
    id INTEGER PRIMARY KEY NOT NULL,
    agent_id TEXT NOT NULL,
    verdict TEXT NOT NULL
);
