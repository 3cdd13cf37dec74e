SELECT e.position, e.stream, e.version, e.type, e.at, e.data::text, e.metadata::text
FROM log.events e JOIN leaving l ON l.stream = e.stream AND e.position <= l.position ORDER BY e.position
