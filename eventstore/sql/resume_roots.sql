-- As read_root, of each root in $1, from each stream's snapshot on; the snapshots of form $2 come along, as rows at position -1 with an empty type.
-- The list is wrapped, so that the planner guesses its length alike every time and keeps one plan: to plan anew took longer than to read a root.
-- OFFSET 0: whatever it guesses, all that is known of a stream is looked up by index, stream by stream.
WITH members AS MATERIALIZED (
    SELECT s.stream, coalesce(p.version, 0) AS version, p.position, p.state
    FROM log.streams s LEFT JOIN LATERAL (
        SELECT * FROM log.snapshots WHERE stream = s.stream AND form = $2 OFFSET 0
    ) p ON true WHERE s.root = ANY ((SELECT $1::text[])::text[])
)
SELECT e.position, e.stream, e.version, e.type, e.data, e.metadata, e.at
FROM members m CROSS JOIN LATERAL (
    SELECT * FROM log.events WHERE stream = m.stream AND version > m.version OFFSET 0
) e
UNION ALL
SELECT 0, a.key, a.file, '', NULL, NULL, NULL
FROM members m CROSS JOIN LATERAL (
    SELECT * FROM log.archived WHERE key = m.stream AND version > m.version OFFSET 0
) a JOIN log.archive_files f ON f.number = a.file
UNION ALL
SELECT -1, m.stream, m.version, '', m.state, to_jsonb(m.position), NULL FROM members m WHERE m.version > 0
ORDER BY position
