-- As resume_root, of many roots: from each stream's snapshot on; the snapshots of form $2 come along, as rows at position 0 with an empty type.
WITH members AS MATERIALIZED (
    SELECT s.stream, coalesce(p.version, 0) AS version, p.position, p.state
    FROM log.streams s LEFT JOIN log.snapshots p ON p.stream = s.stream AND p.form = $2 WHERE s.root = ANY ($1::text[])
)
SELECT e.position, e.stream, e.version, e.type, e.data, e.metadata, e.at
FROM members m CROSS JOIN LATERAL (
    SELECT * FROM log.events WHERE stream = m.stream AND version > m.version OFFSET 0
) e
UNION ALL
SELECT 0, a.key, a.file, '', NULL, NULL, NULL FROM members m JOIN log.archived a ON a.key = m.stream
JOIN log.archive_files f ON f.number = a.file WHERE a.version > m.version
UNION ALL
SELECT -1, m.stream, m.version, '', m.state, to_jsonb(m.position), NULL FROM members m WHERE m.version > 0
ORDER BY position
