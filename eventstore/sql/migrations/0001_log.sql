-- The log, and beside it what an append checks and keeps in the same transaction. All but the events can be rebuilt from them,
-- save commands, leases and ids, which are promises to the outside.

CREATE TABLE log.events (
    position bigint      NOT NULL,
    stream   text        COLLATE "C" NOT NULL,
    version  integer     NOT NULL,
    type     text        COLLATE "C" NOT NULL,
    data     jsonb       NOT NULL,
    metadata jsonb       NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);

-- What exists of log.events: each partition holds the positions first .. until - 1.
CREATE TABLE log.partitions (
    first bigint PRIMARY KEY,
    until bigint NOT NULL,
    name  text   NOT NULL
);

-- One row a stream. `closed`: the stream's last event said so in its metadata; its events may leave for the archive.
-- fillfactor leaves room so that a new version is written on the same page, without touching an index.
CREATE TABLE log.streams (
    stream  text    COLLATE "C" PRIMARY KEY,
    version integer NOT NULL,
    root    text    COLLATE "C" NOT NULL,
    closed  boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80);
CREATE INDEX streams_root ON log.streams (root);

-- What streams hold. at_most NULL: exclusive; else a share of the scope's limit, counted in log.totals.
CREATE TABLE log.claims (
    scope   text    COLLATE "C" NOT NULL,
    item    text    COLLATE "C" NOT NULL,
    holder  text    COLLATE "C" NOT NULL,
    amount  bigint  NOT NULL,
    at_most bigint,
    PRIMARY KEY (scope, item)
);
CREATE TABLE log.totals (
    scope text   COLLATE "C" PRIMARY KEY,
    used  bigint NOT NULL
) WITH (fillfactor = 50);

-- Idempotent commands that were carried out, with the positions of their events.
CREATE TABLE log.commands (
    account      text        COLLATE "C" NOT NULL,
    key          text        COLLATE "C" NOT NULL,
    request_hash text        NOT NULL,
    status       integer     NOT NULL,
    first        bigint      NOT NULL,
    last         bigint      NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (account, key)
);

-- Roots that have something left to do.
CREATE TABLE log.work (
    root      text        COLLATE "C" PRIMARY KEY,
    partition integer     NOT NULL,
    due       timestamptz NOT NULL
);
CREATE INDEX work_due ON log.work (partition, due);

-- Who may act for what. A row is never deleted, so that an epoch never comes again.
CREATE TABLE log.leases (
    name   text        COLLATE "C" PRIMARY KEY,
    holder text        NOT NULL,
    epoch  bigint      NOT NULL,
    until  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The next number of each category.
CREATE TABLE log.ids (
    category text   COLLATE "C" PRIMARY KEY,
    next     bigint NOT NULL
) WITH (fillfactor = 50);

-- The last batch of each writer and what came of it: asked when the connection was lost before the answer.
CREATE TABLE log.writers (
    writer   uuid        PRIMARY KEY,
    batch    bigint      NOT NULL,
    landed   boolean     NOT NULL,
    first    bigint      NOT NULL,
    at       timestamptz NOT NULL,
    refused  jsonb
) WITH (fillfactor = 50);
