-- Leases that ended over $1 seconds ago, at most $2. Under the log's lock (log.lock is called first), as in acquire.sql: the lease without
-- a name keeps the highest epoch of those that are gone, and a name that comes again goes on above it.
WITH gone AS (
    DELETE FROM log.leases WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM log.leases WHERE until < now() - make_interval(secs => $1) AND name <> '' LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING epoch
), kept AS (
    INSERT INTO log.leases AS l (name, holder, epoch, until) SELECT '', '', max(epoch), '-infinity' FROM gone HAVING count(*) > 0
    ON CONFLICT (name) DO UPDATE SET epoch = greatest(l.epoch, excluded.epoch)
)
SELECT count(*) FROM gone
