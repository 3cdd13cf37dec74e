-- $1: what the scopes begin with ("host-")
SELECT c.scope, c.item, c.holder, c.amount, c.at_most FROM log.claims c
WHERE EXISTS (SELECT FROM unnest($1::text[]) AS p (prefix) WHERE c.scope >= p.prefix AND starts_with(c.scope, p.prefix))
ORDER BY c.scope, c.item
