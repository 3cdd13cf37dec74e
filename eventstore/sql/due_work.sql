SELECT root, partition, due FROM log.work
WHERE partition = ANY ($1::integer[]) AND due <= clock_timestamp() ORDER BY due, root LIMIT $2
