SELECT holder FROM log.claims WHERE scope = $1 AND item = $2 AND at_most IS NULL
