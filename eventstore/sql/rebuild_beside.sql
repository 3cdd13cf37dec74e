SELECT what, name, live, rebuilt FROM log.rebuild_beside($1)
