SELECT f.number, f.folder, f.name, f.first, f.last, f.events, f.sha256 FROM log.archive_files f WHERE f.number = ANY ($1::integer[]) ORDER BY f.first
