-- The streams that may leave, with their last positions: of roots all of whose streams are closed and end before $1, and before the
-- log's end $2. Roots with a stream of one of the categories $3 stay.
WITH closed AS (
    SELECT s.root FROM log.streams s GROUP BY s.root
    HAVING bool_and(s.closed) AND NOT bool_or(regexp_replace(s.stream, '-[^-]*$', '') = ANY ($3::text[]))
), lasts AS (
    SELECT s.stream, s.root, e.position FROM log.streams s JOIN closed USING (root)
    JOIN log.events e ON e.stream = s.stream AND e.version = s.version
)
INSERT INTO leaving (stream, position)
SELECT stream, position FROM lasts WHERE root NOT IN (SELECT o.root FROM lasts o WHERE o.position >= least($1::bigint, $2::bigint))
