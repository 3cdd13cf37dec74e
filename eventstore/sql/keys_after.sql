SELECT stream, key FROM log.keys WHERE stream > $1 ORDER BY stream LIMIT $2
