SELECT greatest(clock_timestamp(), (SELECT at FROM log.events ORDER BY position DESC LIMIT 1))
