-- Of the stream's events that are in the archive, the files come along, as rows at position 0 with the file's number as the version.
SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE stream = $1 AND version > $2 AND position <= $3
UNION ALL
SELECT 0, a.key, a.file, '', NULL, NULL, NULL FROM log.archived a JOIN log.archive_files f ON f.number = a.file
WHERE a.key = $1 AND a.version > $2 AND f.first <= $3
ORDER BY position
