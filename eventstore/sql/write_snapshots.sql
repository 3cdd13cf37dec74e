-- A newer one of the same form stays: it was written by somebody who had seen more.
INSERT INTO log.snapshots AS s (stream, form, version, position, state)
SELECT stream, form, version, position, state::jsonb
FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::text[]) AS n (stream, form, version, position, state)
ON CONFLICT (stream) DO UPDATE SET form = excluded.form, version = excluded.version, position = excluded.position, state = excluded.state
WHERE s.form <> excluded.form OR s.version < excluded.version
