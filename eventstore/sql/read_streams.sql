SELECT position, stream, version, type, data, metadata, at FROM log.events WHERE stream = ANY ($1::text[]) AND position <= $2
