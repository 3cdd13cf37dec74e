-- Events are found by the trace of their request, too, where that has another name than the request: the second part of a traceparent.
CREATE INDEX events_trace ON log.events (substr(metadata ->> 'traceparent', 4, 32)) WHERE metadata ? 'traceparent';
