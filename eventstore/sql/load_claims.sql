SELECT scope, item, amount, at_most FROM log.claims
WHERE at_most IS NOT NULL AND scope >= $1 AND starts_with(scope, $1) ORDER BY scope, item
