SELECT position, stream, version, type, data, metadata, at FROM (
  SELECT * FROM log.events
  WHERE position > $1 AND position <= $3 AND metadata ? 'correlation' AND metadata ->> 'correlation' = $4
    AND ($5::text[] IS NULL OR type = ANY ($5::text[]))
  UNION ALL
  SELECT * FROM log.events
  WHERE position > $1 AND position <= $3 AND metadata ? 'traceparent' AND substr(metadata ->> 'traceparent', 4, 32) = $4
    AND metadata ->> 'correlation' IS DISTINCT FROM $4 AND ($5::text[] IS NULL OR type = ANY ($5::text[]))
) found ORDER BY position LIMIT $2
