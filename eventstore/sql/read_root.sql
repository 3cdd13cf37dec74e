-- Archived ones as in read.sql.
SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE stream = ANY (ARRAY(SELECT s.stream FROM log.streams s WHERE s.root = $1)) AND position <= $2
UNION ALL
SELECT 0, a.key, a.file, '', NULL, NULL, NULL FROM log.archived a JOIN log.archive_files f ON f.number = a.file
WHERE a.key = ANY (ARRAY(SELECT s.stream FROM log.streams s WHERE s.root = $1)) AND f.first <= $2
ORDER BY position
