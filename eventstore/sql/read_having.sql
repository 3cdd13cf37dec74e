-- $1, $2: a category's prefix ("volume-") and the first name after it ("volume."); $3: the last position; $4, $5: parts of data and metadata
SELECT position, stream, version, type, data, metadata, at FROM log.events
WHERE position <= $3 AND stream = ANY (ARRAY(
    SELECT DISTINCT stream FROM log.events
    WHERE stream >= $1 AND stream < $2 AND position <= $3 AND data @> $4::jsonb AND metadata @> $5::jsonb
)) ORDER BY position
