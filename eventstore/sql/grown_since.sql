-- As grown, but only of the streams written after position $4.
SELECT s.stream FROM log.streams s LEFT JOIN log.snapshots p ON p.stream = s.stream AND p.form = $2
WHERE s.stream IN (SELECT e.stream FROM log.events e WHERE e.position > $4 AND e.version >= $1)
  AND s.version - coalesce(p.version, 0) >= $1 ORDER BY s.stream LIMIT $3
