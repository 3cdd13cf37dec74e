"""Pages of 100 out of a million instances, filtered by whatever has an index, and what is answered where nothing has one.

The rows are no story of the log: the views' tables are filled in bulk with copies of one real instance's row, so that a million are there
in minutes. What is measured is a GET over HTTP on one connection, its document included. Few or many rows fit, spread evenly or all
among the newest ids, where a page in order of id is hardest to find.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import uvloop

from projections.generations import connect, generation
from tests.benchmarks.asking import PATIENCE, Connection, connections
from tests.benchmarks.clouds import Cloud, one_process
from tests.benchmarks.report import Line, Report, ms, share

ROWS, SAMPLES = 1_000_000, 200
CHUNK = 50_000
OF_ONE = 5
"""So many times the samples where the answer is one row: they take a millisecond each, and p99 is not to be what two hiccups of the
machine within a fifth of a second say."""
WARM = 10
"""Requests before those that are measured: connections and plans are made by the first."""
FIRST = 1000
"""Ids below are those of instances that the cloud made itself."""

PAGE, BY_ID = 0.050, 0.005
"""Seconds at p99."""

OLD, BIG, NEW, SMALL = 101, 102, 103, 104
"""Accounts: of the older half but for some, of the other, of the newest hundredth, of a hundred that are spread evenly."""

FILL = """
insert into resources (type, id, kind, name, uuid, account, removed, gone, refs, root, version, position, claimed, row, open)
select r.type, n.id, n.kind, n.name, n.uuid, n.account, null, r.gone, r.refs, 'instance-' || n.id, r.version, r.position, 0,
       r.row || jsonb_build_object('id', n.id, 'kind', n.kind, 'name', n.name, 'uuid', n.uuid, 'accountId', n.account, 'state', n.state),
       '{}'
from resources r, (
    select $1::bigint + i as id,
        case when i < $3::bigint * 0.8 then 'container' else 'virtualMachine' end as kind,
        case when i % 10 = 0 then 'web-' when i % 1000 = 1 then 'rare-' else 'app-' end || i as name,
        md5(i::text)::uuid::text as uuid,
        case when i % ($3::bigint / least(100, $3::bigint)) = 7 then 104 when i >= $3::bigint * 0.99 then 103
             when i < $3::bigint / 2 then 101 else 102 end::bigint as account,
        case when i >= $3::bigint * 0.999 then 'starting' when i % 10 = 3 then 'stopped' else 'running' end as state
    from generate_series($2::bigint, least($2::bigint + $4::bigint, $3::bigint) - 1) as i
) n
where r.type = 'instance' and r.id = $5::bigint
"""

LIST = """
insert into listed select type, id, kind, name, account, row ->> 'state', removed, gone from resources where type = 'instance' and id >= $1
"""


DOCUMENT = -1
"""For a number of rows: no page, but the one itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, with a number of a row for every sample; `rows`: how many a page of them has (0: it depends)."""

    what: str
    path: Callable[[int], str]
    rows: int
    within: float = PAGE


ASKED = (
    Asked("one by its id", lambda i: f"/v1/instances/1i{FIRST + i}", DOCUMENT, BY_ID),
    Asked("a list: id", lambda i: f"/v1/instances?id=1i{FIRST + i}", 1, BY_ID),
    Asked("  uuid", lambda i: f"/v1/instances?uuid={_uuid(i)}", 1),
    Asked("  name", lambda i: f"/v1/instances?name={_name(i)}", 1),
    Asked("  name's beginning: ten", lambda i: f"/v1/instances?name_prefix={_name(i)[:-1]}", 0),
    Asked("  name's beginning: 1 in 1,000", lambda i: "/v1/instances?name_prefix=rare-", 100),
    Asked("  name's beginning: 1 in 10", lambda i: "/v1/instances?name_prefix=web-", 100),
    Asked("  state: 9 in 10", lambda i: "/v1/instances?state=running", 100),
    Asked("  state: 1 in 10", lambda i: "/v1/instances?state=stopped", 100),
    Asked("  state: the newest 1 in 1,000", lambda i: "/v1/instances?state=starting", 100),
    Asked("  state: none", lambda i: "/v1/instances?state=erroring", 0),
    Asked("  account: half", lambda i: f"/v1/instances?accountId=1a{BIG}", 100),
    Asked("  account: the newest 1 in 100", lambda i: f"/v1/instances?accountId=1a{NEW}", 100),
    Asked("  account: a hundred in all", lambda i: f"/v1/instances?accountId=1a{SMALL}", 100),
    Asked("  kind: the older", lambda i: "/v1/containers", 100),
    Asked("  kind: the newest 1 in 5", lambda i: "/v1/virtualmachines", 100),
    Asked("  kind and state", lambda i: "/v1/virtualmachines?state=stopped", 100),
    Asked("  kind and name's beginning", lambda i: "/v1/virtualmachines?name_prefix=rare-", 100),
    Asked("  nothing, sorted by name", lambda i: f"/v1/instances?sort=name&order=desc&marker=m{i % 10}00", 100),
    Asked("  nothing", lambda i: f"/v1/instances?marker=m{i % 10}00", 100),
)

WITHOUT_INDEX = "/v1/instances?hostname_null&created_gt=2014-01-01&sort=firstRunning"


def measure(rows: int = ROWS, samples: int = SAMPLES) -> Report:
    with one_process() as cloud:
        return uvloop.run(_measured(cloud, rows, samples))


async def _measured(cloud: Cloud, rows: int, samples: int) -> Report:
    async with connections(cloud.url, 1) as [api]:
        made = await api.document("POST", "/v1/containers", {"imageUuid": "sim:bench", "name": "template"})
        await _running(api, str(made["id"]))
    began = time.perf_counter()
    await fill(cloud.dsn, rows, int(made["id"].removeprefix("1i")))
    filled = time.perf_counter() - began
    async with connections(cloud.url, 1) as [api]:
        lines = []
        for asked in ASKED:
            before = sum(cloud.cpu().values())
            waits = await _asked(api, asked, rows, samples * (OF_ONE if asked.rows in (DOCUMENT, 1) else 1))
            each = (sum(cloud.cpu().values()) - before) / (len(waits) + WARM)
            worst = share(waits, 0.99)
            target = f"p99 at most {asked.within * 1000:g} ms"
            lines.append(Line(asked.what, (ms(worst), ms(share(waits, 0.5)), ms(max(waits)), ms(each)), target, worst <= asked.within))
        began = time.perf_counter()
        told = await _without_index(api)
        lines.append(Line(f"no index: {told}", (ms(time.perf_counter() - began),)))
    notes = (
        f"GET over HTTP with its document, {samples} of each ({OF_ONE * samples} where the answer is one row), on one connection",
        f"{rows:,} rows of the views, put there in bulk as copies of one real instance in {filled:.0f} s",
        "processor: time of the server and its Postgres for one request; the rest is waiting, also for other work on this machine",
    )
    return Report(f"A page of 100 out of {rows:,} instances", ("p99", "p50", "most", "processor"), tuple(lines), notes)


async def fill(dsn: str, rows: int, template: int) -> None:
    """The views' rows from id FIRST on, as the projector would have written them."""
    connection = await connect(dsn, generation(), statement_timeout=3600)
    try:
        for start in range(0, rows, CHUNK):
            await connection.execute(FILL, FIRST, start, rows, CHUNK, template, timeout=600)
        await connection.execute(LIST, FIRST, timeout=600)
        for view in ("resources", "listed"):
            await connection.execute(f"vacuum analyze {view}", timeout=600)
        await connection.execute("checkpoint", timeout=600)
    finally:
        await connection.close(timeout=10)


async def _running(api: Connection, identity: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await api.document("GET", f"/v1/containers/{identity}"))["state"] != "running":
            await asyncio.sleep(0.05)


async def _asked(api: Connection, asked: Asked, rows: int, samples: int) -> list[float]:
    chosen = random.Random(asked.what)  # rows of its own: those that were asked for just before are warm
    waits = []
    for sample in range(samples + WARM):
        path = asked.path(chosen.randrange(rows))
        began = time.perf_counter()
        document = await api.document("GET", path)
        if sample >= WARM:
            waits.append(time.perf_counter() - began)
        if rows >= ROWS and asked.rows > 0 and len(document["data"]) != asked.rows:
            raise RuntimeError(f"{path} has {len(document['data'])} rows, not {asked.rows}")
    return waits


async def _without_index(api: Connection) -> str:
    """-> what such a list is answered with"""
    try:
        document = await api.document("GET", WITHOUT_INDEX)
    except RuntimeError as error:
        return "503, and says why" if "QueryTooSlow" in str(error) else str(error)
    return f"{len(document['data'])} rows, in time"


def _name(row: int) -> str:
    return f"{'web' if row % 10 == 0 else 'rare' if row % 1000 == 1 else 'app'}-{row}"


def _uuid(row: int) -> str:
    return str(uuid.UUID(hashlib.md5(str(row).encode()).hexdigest()))
