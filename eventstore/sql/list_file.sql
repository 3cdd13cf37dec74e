INSERT INTO log.archived (key, file, version) SELECT key, $3, version FROM unnest($1::text[], $2::integer[]) AS n (key, version)
