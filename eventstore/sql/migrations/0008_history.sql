-- Snapshots of long streams: folded states, opaque to the log and disposable. `form` names the code that folded it: any other ignores it.
CREATE TABLE log.snapshots (
    stream   text    COLLATE "C" PRIMARY KEY,
    form     text    NOT NULL,
    version  integer NOT NULL,
    position bigint  NOT NULL,
    state    jsonb   NOT NULL
);

-- Runs of the archiver that were begun. One without files was killed, or is at work.
CREATE TABLE log.archive_runs (
    number integer PRIMARY KEY,
    folder text    NOT NULL
);

-- The files that hold what left the log. A row comes in the very transaction in which its events leave.
CREATE TABLE log.archive_files (
    number integer PRIMARY KEY,
    run    integer NOT NULL,
    folder text    NOT NULL,  -- where it was written
    name   text    NOT NULL,  -- <run>/<file>
    first  bigint  NOT NULL,  -- its events have positions from here
    last   bigint  NOT NULL,  -- to here, with gaps
    events integer NOT NULL,
    sha256 text    NOT NULL
);

-- What to look for in which file: streams (with their highest version in it) and correlations (version 0).
-- Rows of a file that log.archive_files doesn't have are left by a run that was killed, and mean nothing.
CREATE TABLE log.archived (
    key     text    COLLATE "C" NOT NULL,
    file    integer NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (key, file)
);

-- Which log this is: an archive says whose it is.
CREATE TABLE log.identity (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
INSERT INTO log.identity DEFAULT VALUES;

-- A request's events are looked for by its correlation. (Measured: see docs/decisions/, "History".)
CREATE INDEX events_correlation ON log.events ((metadata ->> 'correlation')) WHERE metadata ? 'correlation';

-- A partition as a table of its own, to be filled and then attached: for positions first .. until - 1.
CREATE FUNCTION log.make_partition(part text, first bigint, until bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE log.%I (LIKE log.events INCLUDING ALL)', part);
    -- Attaching would look through all rows for this, were it not known.
    EXECUTE format('ALTER TABLE log.%I ADD CONSTRAINT %I CHECK (position >= %s AND position < %s)', part, part || '_bounds', first, until);
END $$;

-- What every partition has beside its columns.
CREATE FUNCTION log.finish_partition(part text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE UNIQUE INDEX %I ON log.%I (stream, version)', part || '_stream', part);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()', part);
END $$;

-- As in 0005; the caller has put what the archive holds into the temporary table archived_events (position, stream, version, metadata).
CREATE OR REPLACE FUNCTION log.rebuild_beside(target text) RETURNS TABLE (what text, name text, live text, rebuilt text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    path text := current_setting('search_path');
    e    record;
    each jsonb;
BEGIN
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', target);
    EXECUTE format('CREATE SCHEMA %I', target);
    EXECUTE format('CREATE TABLE %I.streams (LIKE log.streams INCLUDING ALL)', target);
    EXECUTE format('CREATE TABLE %I.claims (LIKE log.claims INCLUDING ALL)', target);
    EXECUTE format('CREATE TABLE %I.totals (LIKE log.totals INCLUDING ALL)', target);
    PERFORM set_config('search_path', quote_ident(target), true);
    CREATE TEMPORARY VIEW everything AS
    SELECT position, stream, version, metadata FROM log.events UNION ALL SELECT position, stream, version, metadata FROM archived_events;

    INSERT INTO streams (stream, version, root, closed)
    SELECT last.stream, last.version, coalesce(nullif(begun.metadata ->> 'root', ''), last.stream), last.metadata @> '{"closed": true}'
    FROM (SELECT DISTINCT ON (stream) stream, version, metadata FROM everything ORDER BY stream, version DESC) last
    JOIN (SELECT stream, metadata FROM everything WHERE version = 1) begun USING (stream);

    -- In the log's order, releases before claims within an event. Only what was taken is in the log, so nothing is refused here.
    FOR e IN SELECT stream, metadata FROM everything WHERE metadata ?| ARRAY['claims', 'releases'] ORDER BY position LOOP
        FOR each IN SELECT value FROM jsonb_array_elements(e.metadata -> 'releases') LOOP
            DELETE FROM claims c WHERE c.scope = each ->> 0 AND c.item = each ->> 1 AND c.holder = e.stream;
        END LOOP;
        FOR each IN SELECT value FROM jsonb_array_elements(e.metadata -> 'claims') LOOP
            INSERT INTO claims (scope, item, holder, amount, at_most)
            VALUES (each ->> 0, each ->> 1, e.stream, (each ->> 2)::bigint, (each ->> 3)::bigint) ON CONFLICT DO NOTHING;
        END LOOP;
    END LOOP;
    INSERT INTO totals (scope, used) SELECT scope, sum(amount) FROM claims WHERE at_most IS NOT NULL GROUP BY scope;

    RETURN QUERY
    SELECT 'stream', coalesce(l.stream, r.stream), l::text, r::text
    FROM log.streams l FULL JOIN streams r ON r.stream = l.stream WHERE l IS DISTINCT FROM r
    UNION ALL
    SELECT 'claim', coalesce(l.scope || ' ' || l.item, r.scope || ' ' || r.item), l::text, r::text
    FROM log.claims l FULL JOIN claims r ON r.scope = l.scope AND r.item = l.item WHERE l IS DISTINCT FROM r
    UNION ALL
    SELECT 'total', coalesce(l.scope, r.scope), l.used::text, r.used::text
    FROM log.totals l FULL JOIN totals r ON r.scope = l.scope WHERE coalesce(l.used, 0) <> coalesce(r.used, 0);
    DROP VIEW everything;
    PERFORM set_config('search_path', path, true);
END $$;
