DELETE FROM log.archived WHERE file NOT IN (SELECT number FROM log.archive_files)
