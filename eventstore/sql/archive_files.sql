-- The files that may hold events of positions $1 + 1 .. $2; with a key $3, only those that hold something of it.
SELECT f.number, f.folder, f.name, f.first, f.last, f.events, f.sha256 FROM log.archive_files f
WHERE f.last > $1 AND f.first <= $2 AND ($3::text IS NULL OR EXISTS (SELECT FROM log.archived a WHERE a.key = $3 AND a.file = f.number))
ORDER BY f.first
