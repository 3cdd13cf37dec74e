SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE position > $1 AND position <= $3 ORDER BY position LIMIT $2
