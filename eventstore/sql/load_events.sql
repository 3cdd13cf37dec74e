-- $1: prefixes ("instance-"), $2: the first names after them ("instance.")
SELECT e.position, e.stream, e.version, e.type, e.data, e.metadata, e.at
FROM unnest($1::text[], $2::text[]) AS c (low, high) JOIN log.events e ON e.stream >= c.low AND e.stream < c.high
ORDER BY e.position
