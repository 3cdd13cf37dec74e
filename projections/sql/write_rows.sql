-- The rows, and what lists look through of them: that changes more seldom, and ends with the purge.
with written as (
    insert into resources as r (type, id, kind, name, uuid, account, removed, gone, refs, root, version, position, claimed, row, open)
    select type, id, kind, name, uuid, account, removed, gone, string_to_array(refs, ' '), root, version, position, claimed, row::jsonb, open::jsonb
    from unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[], $9::text[],
        $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[]
    ) as new (type, id, kind, name, uuid, account, removed, gone, refs, root, version, position, claimed, row, open)
    on conflict (type, id) do update set
        kind = excluded.kind, name = excluded.name, uuid = excluded.uuid, account = excluded.account, removed = excluded.removed,
        gone = excluded.gone, refs = excluded.refs, root = excluded.root, version = excluded.version, position = excluded.position,
        claimed = excluded.claimed, row = excluded.row, open = excluded.open
    returning type, id, kind, left(name, 500) as name, account, row ->> 'state' as state, removed, gone
),
purged as (
    delete from listed l using written w where w.state = 'purged' and l.type = w.type and l.id = w.id
)
insert into listed as l (type, id, kind, name, account, state, removed, gone)
select type, id, kind, name, account, state, removed, gone from written where state is distinct from 'purged'
on conflict (type, id) do update set
    kind = excluded.kind, name = excluded.name, account = excluded.account, state = excluded.state,
    removed = excluded.removed, gone = excluded.gone
where (l.kind, l.name, l.account, l.state, l.removed, l.gone)
    is distinct from (excluded.kind, excluded.name, excluded.account, excluded.state, excluded.removed, excluded.gone)
