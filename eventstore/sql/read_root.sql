SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE stream = ANY (ARRAY(SELECT s.stream FROM log.streams s WHERE s.root = $1)) AND position <= $2 ORDER BY position
