"""A list finds its page by an index, whatever it is filtered by of all that has one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import orjson
import pytest

from commands.catalogue.builtin import CATALOGUE
from projections.generations import connect, generation
from projections.query import Filter, Query, select
from projections.rows import refers_to_engine
from projections.views import COLUMNS
from tests.benchmarks.lists import NEW, fill
from tests.projections.conftest import Cloud

INSTANCE = CATALOGUE.type("instance")
ROWS = 20_000


def by(name: str, modifier: str, value: object, kind: str | None = None) -> Query:
    return Query(INSTANCE, kind=kind, filters=(Filter(INSTANCE.fields[name], modifier, value),), limit=101)


@pytest.fixture
async def many(cloud: Cloud) -> AsyncIterator[asyncpg.Connection]:
    await cloud.create("instance-1", name="template", kind="container", state="running", accountId=1)
    await cloud.project()
    await fill(cloud.dsn, ROWS, 1)
    connection = await connect(cloud.dsn, generation())
    yield connection
    await connection.close(timeout=10)


async def test_a_page_comes_out_in_order_without_a_look_at_all_that_is_there(many: asyncpg.Connection, subtests: pytest.Subtests) -> None:
    for query, index in (
        (by("id", "eq", 1005), "pkey"),
        (by("uuid", "eq", "x"), "resources_uuid"),
        (by("name", "eq", "app-5"), "listed_name"),
        (by("name", "prefix", "rare-"), "listed_name"),
        (by("name", "like", "rare-%"), "listed_name"),
        (by("name", "prefix", "rare-", "virtualMachine"), "listed_name"),
        (by("state", "eq", "starting"), "listed_state"),
        (by("state", "eq", "starting", "virtualMachine"), "listed_state"),
        (by("accountId", "eq", NEW), "listed_account"),
        (Query(INSTANCE, kind="virtualMachine", limit=101), "listed_kind"),
        (Query(INSTANCE, sort=INSTANCE.fields["name"], descending=True, limit=101), "listed_name"),
        (Query(INSTANCE, limit=101), "listed_pkey"),
    ):
        text, values = select(query, COLUMNS)
        with subtests.test(text):
            plan = "\n".join(line[0] for line in await many.fetch(f"explain {text}", *values))
            assert index in plan
            assert "Seq Scan" not in plan


async def test_an_engine_s_id_is_found_by_its_first_letters(many: asyncpg.Connection, cloud: Cloud) -> None:
    told = {"dockerContainer": {"Id": "beef" + "0" * 60}}
    change = "row = row || jsonb_build_object('data', $1::jsonb), refs = refs || $2::text"
    await many.execute(
        f"update resources set {change} where type = 'instance' and id = 1005", orjson.dumps(told).decode(), refers_to_engine("beef")
    )
    await many.execute("analyze resources")
    assert [seen.resource.id for seen in await cloud.views.with_engine_id("beef00")] == [1005]
    assert await cloud.views.with_engine_id("beef11") == []
    query = "select id from resources where refs @> array[$1::text] and type = 'instance' and removed is null"
    plan = "\n".join(line[0] for line in await many.fetch(f"explain {query}", refers_to_engine("beef")))
    assert "Seq Scan" not in plan


async def test_pages_are_the_same_as_without_an_index(many: asyncpg.Connection, cloud: Cloud) -> None:
    everything = [seen.resource for seen in await cloud.views.rows(Query(INSTANCE))]
    assert len(everything) == ROWS + 1
    for query, fits in (
        (by("state", "eq", "starting"), [each.id for each in everything if each.state == "starting"]),
        (by("name", "prefix", "rare-"), [each.id for each in everything if each.name.startswith("rare-")]),
        (by("accountId", "eq", NEW), [each.id for each in everything if each.row["accountId"] == NEW]),
    ):
        assert [seen.resource.id for seen in await cloud.views.rows(query)] == fits[:101]


async def test_a_key_is_found_by_an_index_however_many_there_are(cloud: Cloud) -> None:
    credential = CATALOGUE.type("credential")
    for number, public in ((1, "key one"), (2, "key two"), (3, "key one")):
        await cloud.create(f"credential-{number}", kind="apiKey", state="active", publicValue=public)
    await cloud.project()
    connection = await connect(cloud.dsn, generation())
    try:
        for view, others in (("resources", {"id": "n", "refs": "array['publicValue:' || n]"}), ("listed", {"id": "n"})):
            columns = await connection.fetch("select column_name from information_schema.columns where table_name = $1", view)
            names = [each[0] for each in columns]
            copied = ", ".join(others.get(name, name) for name in names)
            many = f"select {copied} from {view}, generate_series(10, $1::int) n where id = 2"
            await connection.execute(f"insert into {view} ({', '.join(names)}) {many}", ROWS)
            await connection.execute(f"analyze {view}")
        query = Query(credential, filters=(Filter(credential.fields["publicValue"], "eq", "key one"),), limit=10)
        text, values = select(query, COLUMNS)
        plan = "\n".join(line[0] for line in await connection.fetch(f"explain {text}", *values))
        assert "resources_refs" in plan
        assert "Seq Scan" not in plan
        assert [seen.resource.id for seen in await cloud.views.rows(query)] == [1, 3]
    finally:
        await connection.close(timeout=10)
