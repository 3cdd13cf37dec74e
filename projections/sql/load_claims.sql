select c.scope, c.item, c.holder, c.amount
from unnest($1::text[], $2::text[]) as wanted (scope, item)
join claims c using (scope, item)
