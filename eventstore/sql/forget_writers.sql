DELETE FROM log.writers WHERE at < clock_timestamp() - interval '1 day'
