SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE position > $1 AND position <= $3 AND metadata ? 'correlation' AND metadata ->> 'correlation' = $4
  AND ($5::text[] IS NULL OR type = ANY ($5::text[])) ORDER BY position LIMIT $2
