UPDATE log.leases l SET until = clock_timestamp() + make_interval(secs => $4)
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (name, holder, epoch)
WHERE l.name = n.name AND l.holder = n.holder AND l.epoch = n.epoch
RETURNING l.name, l.holder, l.epoch, clock_timestamp() AS now
