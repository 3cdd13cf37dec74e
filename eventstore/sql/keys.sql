SELECT stream, key FROM log.keys WHERE stream = ANY ($1::text[])
