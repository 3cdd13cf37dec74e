SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE stream = ANY (ARRAY(SELECT s.stream FROM log.streams s WHERE s.root = ANY ($1::text[]))) ORDER BY position
