SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE stream = $1 AND version > $2 AND position <= $3 ORDER BY version
