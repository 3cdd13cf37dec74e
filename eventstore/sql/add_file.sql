INSERT INTO log.archive_files (run, number, folder, name, first, last, events, sha256) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
