SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'log'::regnamespace AND c.relkind = 'r' AND c.relname LIKE 'events\_%'
AND NOT EXISTS (SELECT FROM log.partitions p WHERE p.name = c.relname)
