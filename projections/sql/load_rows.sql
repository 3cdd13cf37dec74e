select r.type, r.id, r.version, r.position, r.row::text as row, r.open::text as open, r.root, r.claimed
from unnest($1::text[], $2::bigint[]) as wanted (type, id)
join resources r using (type, id)
