-- 10,000 rows a table, spread over ten namespaces; `i` numbers the rows of one namespace. Agent 7 and session 7 have
-- about half of them: there an index with the time is worth it.
CREATE TEMP TABLE numbers AS
    WITH RECURSIVE counter (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counter WHERE n < 9999)
    SELECT n, n / 10 AS i, CASE n % 10 WHEN 0 THEN '' WHEN 1 THEN 'alpha' ELSE 'tenant-' || (n % 10) END AS namespace,
        1700000000 + n * 10 AS seconds, (1700000000 + n * 10) * 1000000 AS micros,
        'agent-' || iif(n / 10 % 2, 7, n / 10 % 20) AS agent_id, 'session-' || iif(n / 10 % 3 < 2, 7, n / 10 % 20) AS session_id
    FROM counter;

INSERT INTO agent_states (key, namespace, agent_id, name, status, metadata, state_data, version, created_at, updated_at, is_deleted, recorded_at)
    SELECT CASE namespace WHEN '' THEN '' ELSE namespace || ':' END || 'agent-' || i, namespace, 'agent-' || i, 'Agent',
        CASE i % 5 WHEN 0 THEN 'idle' WHEN 1 THEN 'running' WHEN 2 THEN 'paused' WHEN 3 THEN 'completed' ELSE 'failed' END,
        '{}', printf('{"step":%d}', n), 1, seconds, seconds, i % 10 = 9, micros FROM numbers;
INSERT INTO state_transitions (namespace, id, agent_id, state_before, state_after, timestamp, recorded_at)
    SELECT namespace, printf('00000000-0000-7000-8000-%012d', i), agent_id, '{}', '{"step":1}', seconds, micros FROM numbers;
INSERT INTO state_snapshots (namespace, id, agent_id, name, status, metadata, state_data, version, created_at, expires_at, recorded_at)
    SELECT namespace, 'snapshot-' || i, agent_id, 'Agent', 'idle', '{}', '{}', 1, seconds,
        CASE WHEN i % 10 = 3 THEN seconds + 1000 WHEN i % 10 = 4 THEN 4000000000 END, micros FROM numbers;
INSERT INTO events (namespace, id, event_type, timestamp, session_id, actor_type, actor_id, content, created_at, recorded_at)
    SELECT namespace, printf('00000000-0000-7000-8000-%012d', i),
        CASE i % 5 WHEN 0 THEN 'message' WHEN 1 THEN 'tool' WHEN 2 THEN 'result' WHEN 3 THEN 'error' ELSE 'note' END, seconds,
        session_id, 'agent', 'actor-' || (i % 30), 'the common word and word' || i, seconds, micros FROM numbers;
INSERT INTO tasks (namespace, id, title, status, assigned_to, created_at, updated_at, is_deleted, recorded_at)
    SELECT namespace, printf('00000000-0000-7000-8000-%012d', i), 'Task',
        CASE i % 7 WHEN 0 THEN 'todo' WHEN 1 THEN 'in_progress' WHEN 2 THEN 'blocked' WHEN 3 THEN 'done' WHEN 4 THEN 'failed'
            WHEN 5 THEN 'cancelled' ELSE 'dead' END,
        CASE WHEN i % 3 > 0 THEN agent_id END, seconds, seconds, i % 10 = 9, micros FROM numbers;
INSERT INTO sessions (namespace, id, agent_id, started_at, status, created_at, updated_at, is_deleted, recorded_at)
    SELECT namespace, 'session-' || i, agent_id, seconds,
        CASE i % 6 WHEN 0 THEN 'active' WHEN 1 THEN 'suspended' WHEN 2 THEN 'completed' WHEN 3 THEN 'failed' WHEN 4 THEN 'terminated'
            ELSE 'abandoned' END,
        seconds, seconds, i % 11 = 9, micros FROM numbers;

INSERT INTO events_search (events_search) VALUES ('rebuild');
DROP TABLE temp.numbers;
