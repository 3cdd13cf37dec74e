-- Under the log's lock (log.lock is called first): once a new epoch is out, nothing of an older one lands any more.
-- A name that was forgotten (see forget_leases.sql) begins above all epochs that it can have had.
INSERT INTO log.leases AS l (name, holder, epoch, until)
SELECT n.name, $2, 1 + coalesce((SELECT f.epoch FROM log.leases f WHERE f.name = ''), 0), clock_timestamp() + make_interval(secs => $3)
FROM unnest($1::text[]) AS n (name) ORDER BY n.name
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = l.epoch + 1, until = excluded.until
WHERE l.holder = excluded.holder OR l.until <= clock_timestamp()
RETURNING l.name, l.epoch
