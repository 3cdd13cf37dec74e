select number, pid, process, type, id, field, state, started_at, ended_at, error, parked, parent, cause, correlation, actor, position
from processes where pid = any ($1::text[])
