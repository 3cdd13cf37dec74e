-- Takes and releases what the members of a batch claim, and answers the refusals of those that lost (a jsonb array).
-- Called by log.append, under the log's lock.
--
-- ops: [{m member, n order, o 'claim' | 'release', h holder, s scope, i item, a amount, l limit | null}]
-- losers: members that lost already. distinct_items: no (scope, item) comes twice, so the whole batch can be taken at once.
CREATE FUNCTION log.take_claims(ops jsonb, losers integer[], distinct_items boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    refusals jsonb := '[]';
    refusal  jsonb;
    each     record;
    op       record;
    held     log.claims;
    in_use   bigint;
BEGIN
    IF distinct_items
       AND NOT EXISTS (
           SELECT FROM jsonb_to_recordset(ops) AS x (m integer, o text, h text, s text, i text)
           JOIN log.claims c ON c.scope = x.s AND c.item = x.i
           WHERE x.o = 'claim' AND c.holder <> x.h AND x.m <> ALL (losers))
       AND NOT EXISTS (
           SELECT FROM (
               SELECT x.s AS scope, sum(x.a) AS wanted, min(x.l) AS at_most
               FROM jsonb_to_recordset(ops) AS x (m integer, o text, s text, i text, a bigint, l bigint)
               WHERE x.o = 'claim' AND x.l IS NOT NULL AND x.m <> ALL (losers)
                 AND NOT EXISTS (SELECT FROM log.claims c WHERE c.scope = x.s AND c.item = x.i)
               GROUP BY x.s) wants
           LEFT JOIN log.totals t USING (scope)
           WHERE coalesce(t.used, 0) + wants.wanted > wants.at_most)
    THEN
        -- Nobody can lose: all at once.
        WITH wanted AS MATERIALIZED (
            SELECT * FROM jsonb_to_recordset(ops) AS x (m integer, o text, h text, s text, i text, a bigint, l bigint)
            WHERE x.m <> ALL (losers)
        ), freed AS (
            DELETE FROM log.claims c USING wanted WHERE wanted.o = 'release' AND c.scope = wanted.s AND c.item = wanted.i AND c.holder = wanted.h
            RETURNING c.scope, -c.amount AS change, c.at_most
        ), taken AS (
            INSERT INTO log.claims AS c (scope, item, holder, amount, at_most)
            SELECT wanted.s, wanted.i, wanted.h, wanted.a, wanted.l FROM wanted WHERE wanted.o = 'claim'
            ON CONFLICT DO NOTHING
            RETURNING c.scope, c.amount AS change, c.at_most
        )
        INSERT INTO log.totals AS t (scope, used)
        SELECT scope, sum(change) FROM (TABLE freed UNION ALL TABLE taken) changed WHERE at_most IS NOT NULL GROUP BY scope
        ON CONFLICT (scope) DO UPDATE SET used = t.used + excluded.used;
        RETURN refusals;
    END IF;

    -- Somebody may lose: member by member, in order, each in a block of its own so that a loser leaves nothing behind.
    FOR each IN
        SELECT x.m, jsonb_agg(x.op ORDER BY (x.op ->> 'n')::integer) AS ops
        FROM (SELECT (value ->> 'm')::integer AS m, value AS op FROM jsonb_array_elements(ops)) x
        WHERE x.m <> ALL (losers) GROUP BY x.m ORDER BY x.m
    LOOP
        BEGIN
            FOR op IN SELECT * FROM jsonb_to_recordset(each.ops) AS x (o text, h text, s text, i text, a bigint, l bigint) LOOP
                SELECT * INTO held FROM log.claims c WHERE c.scope = op.s AND c.item = op.i;
                IF op.o = 'release' THEN
                    IF held.holder = op.h THEN
                        DELETE FROM log.claims c WHERE c.scope = op.s AND c.item = op.i;
                        IF held.at_most IS NOT NULL THEN
                            UPDATE log.totals t SET used = t.used - held.amount WHERE t.scope = op.s;
                        END IF;
                    END IF;
                ELSIF held.holder <> op.h THEN
                    refusal := jsonb_build_object('member', each.m, 'why', 'taken', 'scope', op.s, 'item', op.i, 'holder', held.holder);
                    RAISE SQLSTATE 'CL001';
                ELSIF held.holder IS NULL THEN
                    IF op.l IS NOT NULL THEN
                        in_use := coalesce((SELECT t.used FROM log.totals t WHERE t.scope = op.s), 0);
                        IF in_use + op.a > op.l THEN
                            refusal := jsonb_build_object('member', each.m, 'why', 'full', 'scope', op.s, 'item', op.i,
                                                          'amount', op.a, 'used', in_use, 'limit', op.l);
                            RAISE SQLSTATE 'CL001';
                        END IF;
                        INSERT INTO log.totals AS t (scope, used) VALUES (op.s, op.a)
                        ON CONFLICT (scope) DO UPDATE SET used = t.used + excluded.used;
                    END IF;
                    INSERT INTO log.claims (scope, item, holder, amount, at_most) VALUES (op.s, op.i, op.h, op.a, op.l);
                END IF;
            END LOOP;
        EXCEPTION WHEN SQLSTATE 'CL001' THEN
            refusals := refusals || refusal;
        END;
    END LOOP;
    RETURN refusals;
END $$;
