-- Streams that have grown by at least $1 events since their snapshot of form $2.
SELECT s.stream FROM log.streams s LEFT JOIN log.snapshots p ON p.stream = s.stream AND p.form = $2
WHERE s.version - coalesce(p.version, 0) >= $1 AND NOT EXISTS (SELECT FROM log.archived a WHERE a.key = s.stream) ORDER BY s.stream LIMIT $3
