-- $1: prefixes ("instance-"), $2: the first names after them ("instance."), $3: the snapshots' form ('': none)
-- The streams' events since their snapshots, which come along as in resume_roots.sql.
WITH members AS MATERIALIZED (
    SELECT s.stream, coalesce(p.version, 0) AS version, p.position, p.state
    FROM unnest($1::text[], $2::text[]) AS c (low, high) JOIN log.streams s ON s.stream >= c.low AND s.stream < c.high
    LEFT JOIN log.snapshots p ON p.stream = s.stream AND p.form = $3
)
SELECT e.position, e.stream, e.version, e.type, e.data, e.metadata, e.at
FROM members m CROSS JOIN LATERAL (SELECT * FROM log.events WHERE stream = m.stream AND version > m.version OFFSET 0) e
UNION ALL
SELECT -1, m.stream, m.version, '', m.state, to_jsonb(m.position), NULL FROM members m WHERE m.version > 0
ORDER BY position
