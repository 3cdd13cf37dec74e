-- Makes streams, claims and totals anew from the events, as tables of a schema beside the log's, and answers what differs from the
-- live ones. Call it in a repeatable-read transaction: then both are seen as of one position, and appends go on meanwhile.
CREATE FUNCTION log.rebuild_beside(target text) RETURNS TABLE (what text, name text, live text, rebuilt text) LANGUAGE plpgsql AS $$
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

    INSERT INTO streams (stream, version, root, closed)
    SELECT last.stream, last.version, coalesce(nullif(begun.metadata ->> 'root', ''), last.stream), last.metadata @> '{"closed": true}'
    FROM (SELECT DISTINCT ON (stream) stream, version, metadata FROM log.events ORDER BY stream, version DESC) last
    JOIN (SELECT stream, metadata FROM log.events WHERE version = 1) begun USING (stream);

    -- In the log's order, releases before claims within an event. Only what was taken is in the log, so nothing is refused here.
    FOR e IN SELECT stream, metadata FROM log.events WHERE metadata ?| ARRAY['claims', 'releases'] ORDER BY position LOOP
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
    PERFORM set_config('search_path', path, true);
END $$;
