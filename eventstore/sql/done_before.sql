SELECT request_hash, status, first, last, at FROM log.commands WHERE account = $1 AND key = $2
