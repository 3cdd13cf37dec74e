SELECT used FROM log.totals WHERE scope = $1
