insert into processes as p
    (pid, process, type, id, field, state, started_at, ended_at, error, parked, parent, cause, correlation, actor, position)
select * from unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::bigint[], $15::bigint[]
)
on conflict (pid) do update set
    process = excluded.process, state = excluded.state, ended_at = excluded.ended_at, error = excluded.error,
    parked = excluded.parked, position = excluded.position
