UPDATE log.keys k SET key = n.new FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (stream, old, new)
WHERE k.stream = n.stream AND k.key = n.old
