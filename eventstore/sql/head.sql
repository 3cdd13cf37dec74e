SELECT position FROM log.events ORDER BY position DESC LIMIT 1
