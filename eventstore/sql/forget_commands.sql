-- Commands carried out over $1 seconds ago, oldest first, at most $2. What somebody else deletes just now is left to that one.
WITH gone AS (
    DELETE FROM log.commands WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM log.commands WHERE at < now() - make_interval(secs => $1) ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM gone
