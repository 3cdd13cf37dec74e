-- One generation of the views, made in the schema that search_path names. Everything in it is folded from the log.

-- position: the last event that is folded in. Advanced by compare-and-set in each batch's transaction.
create table checkpoint (
    only_row boolean primary key default true check (only_row),
    position bigint not null
);
insert into checkpoint (position) values (0);

-- One row a resource. row and open are the fold's own; the columns beside them serve filters, links and order.
create table resources (
    type     text not null,  -- the root type: instance for a container
    id       bigint not null,
    kind     text not null,
    name     text,
    uuid     text,
    account  bigint,
    removed  timestamptz,
    gone     timestamptz not null,  -- from then on lists leave it out (its removeTime); infinity: it is not removed
    refs     text[] not null,  -- what it refers to, e.g. {hostId:2,instanceId:54}, and digests of texts by which it is looked up
    root     text not null,
    version  bigint not null,
    position bigint not null,
    claimed  bigint not null,  -- how much of what it offers (a host's compute) is claimed
    row      jsonb not null,
    open     jsonb not null,  -- the processes under way
    primary key (type, id)
) with (fillfactor = 80);  -- a state change touches no index, and finds room on its page
create index resources_uuid on resources (uuid);
create index resources_refs on resources using gin (refs);

-- What lists look through: a narrow row of each resource that is not purged, with an index for whatever they are asked for most. Each ends
-- with the id, so that a page comes out in order however few or many rows fit, and wherever among the ids these are, and holds what else is
-- looked at for every row.
create table listed (
    type    text not null,
    id      bigint not null,
    kind    text not null,
    name    text collate "C",  -- by bytes: then one index serves equality, prefix and order; the first 500 characters, which fit an index
    account bigint,
    state   text,
    removed timestamptz,
    gone    timestamptz not null,
    primary key (type, id)
) with (fillfactor = 80);
create index listed_kind on listed (type, kind, id) include (gone, removed);
create index listed_name on listed (type, name nulls first, id) include (kind, gone, removed);
create index listed_account on listed (type, account nulls first, id) include (kind, state, gone, removed);
create index listed_state on listed (type, state nulls first, id) include (kind, gone, removed);

-- One row a process, from its start to its end.
create table processes (
    number      bigint not null,  -- the position of its first event
    pid         text primary key,
    process     text not null,
    type        text not null,
    id          bigint not null,
    field       text not null,
    state       text not null check (state in ('started', 'parked', 'succeeded', 'failed', 'cancelled')),
    started_at  timestamptz not null,
    ended_at    timestamptz,
    error       text,
    parked      text,
    parent      text,
    cause       text not null,
    correlation text,
    actor       bigint,
    position    bigint not null
) with (fillfactor = 80);
create unique index processes_number on processes (number);
create index processes_resource on processes (type, id, position);
create index processes_open on processes (position) where ended_at is null;

-- The counted claims in force: resources.claimed is their sum. And the leases: their amount is the number of their row (resourcePool).
create table claims (
    scope  text not null,
    item   text not null,
    holder text not null,
    amount bigint not null,
    primary key (scope, item)
);

-- Streams with an event that can't be folded. Their rows stay as they were before it.
create table poisoned (
    stream   text primary key,
    version  bigint not null,
    position bigint not null,
    error    text not null
);
