"""A list finds its page by an index, whatever it is filtered by of all that has one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from commands.catalogue.builtin import CATALOGUE
from projections.generations import connect, generation
from projections.query import Filter, Query, select
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


async def test_pages_are_the_same_as_without_an_index(many: asyncpg.Connection, cloud: Cloud) -> None:
    everything = [seen.resource for seen in await cloud.views.rows(Query(INSTANCE))]
    assert len(everything) == ROWS + 1
    for query, fits in (
        (by("state", "eq", "starting"), [each.id for each in everything if each.state == "starting"]),
        (by("name", "prefix", "rare-"), [each.id for each in everything if each.name.startswith("rare-")]),
        (by("accountId", "eq", NEW), [each.id for each in everything if each.row["accountId"] == NEW]),
    ):
        assert [seen.resource.id for seen in await cloud.views.rows(query)] == fits[:101]
