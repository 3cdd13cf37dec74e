-- The same rows give the same answer, in whatever order they were written. $1: the streams to leave out.
select 'resources' as view, count(*) as rows, coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text as hash
from resources r where not (r.type || '-' || r.id = any ($1::text[]))
union all
select 'listed', count(*), coalesce(sum(hashtextextended(l::text, 0)::numeric), 0)::text
from listed l where not (l.type || '-' || l.id = any ($1::text[]))
union all
select 'processes', count(*), coalesce(sum(hashtextextended(p::text, 0)::numeric), 0)::text
from processes p where not (p.type || '-' || p.id = any ($1::text[]))
union all
select 'claims', count(*), coalesce(sum(hashtextextended(c::text, 0)::numeric), 0)::text
from claims c
order by view
