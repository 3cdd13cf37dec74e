-- As read, from the stream's snapshot on; the snapshot of form $2 comes along as in resume_roots.sql.
WITH member AS MATERIALIZED (
    SELECT p.stream, p.version, p.position, p.state FROM log.snapshots p WHERE p.stream = $1 AND p.form = $2
)
SELECT e.position, e.stream, e.version, e.type, e.data, e.metadata, e.at FROM log.events e
WHERE e.stream = $1 AND e.version > coalesce((SELECT m.version FROM member m), 0)
UNION ALL
SELECT 0, a.key, a.file, '', NULL, NULL, NULL FROM log.archived a JOIN log.archive_files f ON f.number = a.file
WHERE a.key = $1 AND a.version > coalesce((SELECT m.version FROM member m), 0)
UNION ALL
SELECT -1, m.stream, m.version, '', m.state, to_jsonb(m.position), NULL FROM member m
ORDER BY position
