insert into processes as p
    (number, pid, process, type, id, field, state, started_at, ended_at, error, parked, parent, cause, correlation, actor, position)
select * from unnest(
    $1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[]
)
on conflict (pid) do update set
    process = excluded.process, state = excluded.state, ended_at = excluded.ended_at, error = excluded.error,
    parked = excluded.parked, position = excluded.position
