-- Commands are kept for a time, and then looked for by their age (see forget_commands.sql).
CREATE INDEX commands_at ON log.commands (at);

COMMENT ON TABLE log.leases IS
    'Ended ones are deleted in time; the one without a name keeps the highest epoch of those, so that an epoch never comes again.';
