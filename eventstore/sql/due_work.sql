SELECT root, partition, due, waits_for, since FROM log.work
WHERE partition = ANY ($1::integer[]) AND due <= clock_timestamp() AND ($3 OR waits_for IS NULL) ORDER BY due, root LIMIT $2
