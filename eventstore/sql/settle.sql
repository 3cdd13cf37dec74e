SELECT landed, first, at, refused FROM log.settle($1, $2)
