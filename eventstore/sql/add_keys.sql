SELECT stream, key FROM log.add_keys($1::text[], $2::bytea[])
