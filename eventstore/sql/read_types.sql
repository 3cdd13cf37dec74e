SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE position > $1 AND position <= $3 AND type = ANY ($4::text[]) ORDER BY position LIMIT $2
