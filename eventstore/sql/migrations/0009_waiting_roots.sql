-- A root that waits for nothing but somebody's answer says so in its work: who begins again need not read it before there is room to ask.
-- `waits_for` is for the store's user to understand; `since` orders those who wait (a position of the batch that said so). A due time that has come stays as it is: they were first.
ALTER TABLE log.work ADD COLUMN waits_for bigint, ADD COLUMN since bigint NOT NULL DEFAULT 0;

-- Appends a batch: the appends of several callers ("members", numbered from 1), each all or nothing, refused for its own reasons alone.
-- Answers where the first event landed, when, and the refusals (NULL: none). Called by eventstore/writer.py, which makes sure that
-- no stream, command or root of work is in two members.
--
-- writer, batch   who sends; a batch not above the writer's last is refused (it was settled as lost, see log.settle)
-- known           a position not above the head, to look no further back for it
-- s_*             streams written, with the versions they must have and will have (root '': the stream itself)
-- e_*             events, in order
-- extras          NULL, or {unchanged, whole, closed, leases, commands, sizes, claims, distinct_items, done, work}, rows with their member m
CREATE OR REPLACE FUNCTION log.append(
    p_writer uuid, p_batch bigint, p_known bigint, p_partition bigint,
    s_member integer[], s_stream text[], s_expected integer[], s_version integer[], s_root text[],
    e_member integer[], e_stream text[], e_version integer[], e_type text[], e_data text[], e_metadata text[],
    extras jsonb,
    OUT first bigint, OUT at timestamptz, OUT refused jsonb
) LANGUAGE plpgsql
-- Tables grow faster than their statistics: whatever the planner believes, these few rows are looked up by index.
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    head     bigint;
    stamp    timestamptz;
    total    integer := coalesce(cardinality(e_member), 0);
    room     bigint;
    refusals jsonb := '[]';
    losers   integer[] := '{}';
    places   tid[];
    wrong    bigint;
    fresh    bigint;
    found    jsonb;
BEGIN
    PERFORM log.lock();

    IF EXISTS (SELECT FROM log.writers w WHERE w.writer = p_writer AND w.batch >= p_batch) THEN
        RAISE EXCEPTION 'batch % of writer % was settled already', p_batch, p_writer USING ERRCODE = 'CL002';
    END IF;

    SELECT e.position, e.at INTO head, stamp FROM log.events e WHERE e.position >= p_known ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    stamp := greatest(clock_timestamp(), stamp);

    SELECT coalesce(max(p.until), 1) - head - 1 INTO room FROM log.partitions p;
    WHILE room < total + p_partition / 2 LOOP
        PERFORM log.add_partition(p_partition);
        room := room + p_partition;
    END LOOP;

    IF extras ? 'commands' THEN
        SELECT jsonb_agg(jsonb_build_object(
            'member', x.m, 'key', x.key,
            'why', CASE WHEN c.request_hash = x.hash THEN 'repeated' ELSE 'reused' END,
            'status', c.status, 'first', c.first, 'last', c.last, 'at', c.at))
        INTO found
        FROM jsonb_to_recordset(extras -> 'commands') AS x (m integer, account text, key text, hash text)
        JOIN log.commands c ON c.account = x.account AND c.key = x.key;
        refusals := refusals || coalesce(found, '[]');
    END IF;

    IF extras ? 'leases' THEN
        SELECT jsonb_agg(jsonb_build_object('member', x.m, 'why', 'lease', 'name', x.name, 'epoch', x.epoch))
        INTO found
        FROM jsonb_to_recordset(extras -> 'leases') AS x (m integer, name text, holder text, epoch bigint)
        LEFT JOIN log.leases l ON l.name = x.name
        WHERE (l.holder, l.epoch) IS DISTINCT FROM (x.holder, x.epoch);
        refusals := refusals || coalesce(found, '[]');
    END IF;

    -- Where the streams' rows are is kept for the update below: under the lock they stay there, and it saves a second search.
    SELECT array_agg(s.ctid ORDER BY w.n), count(*) FILTER (WHERE coalesce(s.version, 0) <> w.expected), count(*) FILTER (WHERE s.version IS NULL)
    INTO places, wrong, fresh
    FROM unnest(s_stream, s_expected) WITH ORDINALITY AS w (stream, expected, n) LEFT JOIN log.streams s ON s.stream = w.stream;
    IF wrong > 0 THEN
        SELECT jsonb_agg(jsonb_build_object('member', w.m, 'why', 'version', 'stream', w.stream,
                                            'expected', w.expected, 'actual', coalesce(s.version, 0)) ORDER BY w.n)
        INTO found
        FROM unnest(s_member, s_stream, s_expected) WITH ORDINALITY AS w (m, stream, expected, n)
        LEFT JOIN log.streams s ON s.stream = w.stream
        WHERE coalesce(s.version, 0) <> w.expected;
        refusals := refusals || coalesce(found, '[]');
    END IF;

    IF extras ? 'unchanged' THEN
        SELECT jsonb_agg(jsonb_build_object('member', x.m, 'why', 'version', 'stream', x.stream,
                                            'expected', x.expected, 'actual', coalesce(s.version, 0)))
        INTO found
        FROM jsonb_to_recordset(extras -> 'unchanged') AS x (m integer, stream text, expected integer)
        LEFT JOIN log.streams s ON s.stream = x.stream
        WHERE coalesce(s.version, 0) <> x.expected;
        refusals := refusals || coalesce(found, '[]');
    END IF;

    IF extras ? 'whole' THEN
        SELECT jsonb_agg(jsonb_build_object('member', x.m, 'why', 'version', 'stream', s.stream, 'expected', 0, 'actual', s.version))
        INTO found
        FROM jsonb_to_recordset(extras -> 'whole') AS x (m integer, root text)
        JOIN log.streams s ON s.root = x.root AND NOT s.closed
        WHERE NOT EXISTS (SELECT FROM unnest(s_member, s_stream) AS w (m, stream) WHERE w.m = x.m AND w.stream = s.stream)
          AND NOT EXISTS (SELECT FROM jsonb_to_recordset(coalesce(extras -> 'unchanged', '[]')) AS u (m integer, stream text)
                          WHERE u.m = x.m AND u.stream = s.stream);
        refusals := refusals || coalesce(found, '[]');
    END IF;

    IF refusals <> '[]' THEN
        losers := ARRAY(SELECT DISTINCT (r ->> 'member')::integer FROM jsonb_array_elements(refusals) r);
    END IF;
    IF extras ? 'claims' THEN
        found := log.take_claims(extras -> 'claims', losers, (extras ->> 'distinct_items')::boolean);
        IF found <> '[]' THEN
            refusals := refusals || found;
            losers := ARRAY(SELECT DISTINCT (r ->> 'member')::integer FROM jsonb_array_elements(refusals) r);
        END IF;
    END IF;

    IF losers = '{}' THEN
        INSERT INTO log.events (position, stream, version, type, data, metadata, at)
        SELECT head + e.n, e.stream, e.version, e.type, e.data::jsonb, e.metadata::jsonb, stamp
        FROM unnest(e_stream, e_version, e_type, e_data, e_metadata) WITH ORDINALITY AS e (stream, version, type, data, metadata, n)
        ORDER BY e.n;
    ELSE
        INSERT INTO log.events (position, stream, version, type, data, metadata, at)
        SELECT head + row_number() OVER (ORDER BY e.n), e.stream, e.version, e.type, e.data::jsonb, e.metadata::jsonb, stamp
        FROM unnest(e_member, e_stream, e_version, e_type, e_data, e_metadata)
             WITH ORDINALITY AS e (m, stream, version, type, data, metadata, n)
        WHERE e.m <> ALL (losers)
        ORDER BY e.n;
        GET DIAGNOSTICS total = ROW_COUNT;
    END IF;

    UPDATE log.streams s SET version = w.version, closed = false
    FROM unnest(s_member, places, s_version) AS w (m, place, version) WHERE s.ctid = w.place AND w.m <> ALL (losers);
    IF fresh > 0 THEN
        INSERT INTO log.streams (stream, version, root)
        SELECT w.stream, w.version, coalesce(nullif(w.root, ''), w.stream)
        FROM unnest(s_member, s_stream, s_expected, s_version, s_root) AS w (m, stream, expected, version, root)
        WHERE w.expected = 0 AND w.m <> ALL (losers);
    END IF;
    IF extras ? 'closed' THEN
        UPDATE log.streams s SET closed = true FROM jsonb_to_recordset(extras -> 'closed') AS x (m integer, stream text)
        WHERE s.stream = x.stream AND x.m <> ALL (losers);
    END IF;

    IF extras ? 'commands' THEN
        INSERT INTO log.commands (account, key, request_hash, status, first, last, at)
        SELECT x.account, x.key, x.hash, x.status, head + 1 + p.before, head + p.before + p.size, stamp
        FROM jsonb_to_recordset(extras -> 'commands') AS x (m integer, account text, key text, hash text, status integer)
        JOIN (SELECT z.m, z.size, sum(z.size) OVER (ORDER BY z.m) - z.size AS before
              FROM jsonb_to_recordset(extras -> 'sizes') AS z (m integer, size bigint) WHERE z.m <> ALL (losers)) p ON p.m = x.m;
    END IF;
    IF extras ? 'done' THEN
        DELETE FROM log.work w USING jsonb_to_recordset(extras -> 'done') AS x (m integer, root text)
        WHERE w.root = x.root AND x.m <> ALL (losers);
    END IF;
    IF extras ? 'work' THEN
        INSERT INTO log.work AS w (root, partition, due, waits_for, since)
        SELECT x.root, x.partition, coalesce(x.due, stamp), x.waits_for, head + x.m
        FROM jsonb_to_recordset(extras -> 'work')
            AS x (m integer, root text, partition integer, due timestamptz, waits_for bigint)
        WHERE x.m <> ALL (losers)
        ON CONFLICT (root) DO UPDATE SET
            partition = excluded.partition, waits_for = excluded.waits_for, since = excluded.since,
            due = CASE WHEN excluded.waits_for IS NULL OR w.due > stamp THEN excluded.due ELSE w.due END;
    END IF;

    first := head + 1;
    at := stamp;
    refused := nullif(refusals, '[]');
    INSERT INTO log.writers AS w (writer, batch, landed, first, at, refused) VALUES (p_writer, p_batch, true, head + 1, stamp, nullif(refusals, '[]'))
    ON CONFLICT (writer) DO UPDATE
    SET batch = excluded.batch, landed = excluded.landed, first = excluded.first, at = excluded.at, refused = excluded.refused;
    IF total > 0 THEN
        PERFORM pg_notify('corral_log', (head + total)::text);
    END IF;
END $$;
