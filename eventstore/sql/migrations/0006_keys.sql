-- Keys for what streams keep secret: beside the log, never in it. Without its key a stream's secrets are unreadable in every copy of the log.
CREATE TABLE log.keys (
    stream text  COLLATE "C" PRIMARY KEY,
    key    bytea NOT NULL
);

-- A stream's last event closed it: its key goes in the same transaction.
CREATE FUNCTION log.drop_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM log.keys k WHERE k.stream = NEW.stream;
    RETURN NULL;
END $$;

CREATE TRIGGER drop_key AFTER UPDATE OF closed ON log.streams
    FOR EACH ROW WHEN (NEW.closed AND NOT OLD.closed) EXECUTE FUNCTION log.drop_key();

-- Adds the keys of streams that have none, and answers those in force. Whoever comes second waits for the first, and gets that one's key.
CREATE FUNCTION log.add_keys(p_streams text[], p_keys bytea[]) RETURNS TABLE (stream text, key bytea) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO log.keys (stream, key)
    SELECT n.stream, n.key FROM unnest(p_streams, p_keys) AS n (stream, key) ORDER BY n.stream  -- in one order, so that nobody deadlocks
    ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT k.stream, k.key FROM log.keys k WHERE k.stream = ANY (p_streams);  -- a statement of its own: it sees the first's
END $$;
