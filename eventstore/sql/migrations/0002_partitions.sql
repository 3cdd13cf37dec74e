-- The log is append-only: nobody updates, deletes or truncates events, through the table or through a partition.
CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % of % is refused', lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'append an event that says what changed';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

-- Adds room for `size` more positions. Made as a table of its own and then attached: that lets readers and writers go on.
CREATE FUNCTION log.add_partition(size bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    start bigint := coalesce((SELECT max(p.until) FROM log.partitions p), 1);
    part  text := 'events_' || start;
BEGIN
    EXECUTE format('CREATE TABLE log.%I (LIKE log.events INCLUDING ALL)', part);
    EXECUTE format('CREATE UNIQUE INDEX %I ON log.%I (stream, version)', part || '_stream', part);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()', part);
    EXECUTE format('ALTER TABLE log.events ATTACH PARTITION log.%I FOR VALUES FROM (%s) TO (%s)', part, start, start + size);
    INSERT INTO log.partitions (first, until, name) VALUES (start, start + size, part);
END $$;
