"""A generation is named by all the code that decides its rows; views that nobody uses any more are dropped, and no others."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from asyncpg.connection import Connection

from projections import generations
from projections.apply import apply
from projections.errors import DATABASE_ERRORS
from tests.projections.conftest import Cloud

OLD = "views_000000000000"
AT_ONCE = timedelta(0)


def imported(file: Path) -> set[Path]:
    """The modules of projections and commands that a file imports, but for the catalogue, which decides no rows."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    ours = {name for name in names if name.startswith(("projections.", "commands.")) and not name.startswith("commands.catalogue")}
    files = {generations.ROOT / f"{name.replace('.', '/')}.py" for name in ours}
    return {each for each in files if each.exists()}


def test_whatever_the_fold_into_rows_imports_names_the_generation() -> None:
    reached, fresh = set[Path](), {generations.ROOT / "projections" / "apply.py"}
    while fresh:
        reached |= fresh
        fresh = {each for file in fresh for each in imported(file)} - reached
    named = {str(each.relative_to(generations.ROOT)) for each in reached}
    assert named - {"projections/errors.py"} == {each for each in generations.SOURCES if each.endswith(".py")} - {"commands/upcast.py"}


@pytest.fixture
async def old(cloud: Cloud) -> AsyncIterator[Connection]:
    """A generation of other code, with one event folded in."""
    await cloud.create("host-1", name="h")
    connection = await generations.connect(cloud.dsn, OLD)
    await generations.ensure(connection, OLD)
    await apply(connection, await cloud.store.read_all(0, 1), 0)
    yield connection
    if not connection.is_closed():
        await connection.close()


async def tidied(cloud: Cloud, keep: timedelta = AT_ONCE) -> list[str]:
    connection = await generations.connect(cloud.dsn, cloud.views.schema)
    try:
        return await generations.tidy(connection, cloud.store, cloud.views.schema, keep)
    finally:
        await connection.close()


async def test_what_nobody_projects_any_more_is_dropped_after_a_while(cloud: Cloud, old: Connection) -> None:
    assert await tidied(cloud) == []  # it has all there is
    await cloud.create("host-2", name="h")
    await cloud.create("host-3", name="h")
    assert await tidied(cloud, timedelta(hours=1)) == []
    assert await tidied(cloud) == [OLD]
    assert not await generations.exists(old, OLD)
    assert await generations.exists(old, cloud.views.schema)


async def test_what_is_being_projected_or_built_stays_however_far_it_lags(cloud: Cloud, old: Connection) -> None:
    await cloud.create("host-2", name="h")
    await cloud.create("host-3", name="h")
    await old.execute("select pg_advisory_lock($1, $2)", *generations.projector_lock(OLD))
    assert await tidied(cloud) == []
    await old.execute("select pg_advisory_unlock_all()")
    await old.execute("select pg_advisory_lock(hashtextextended($1, 0))", OLD)
    assert await tidied(cloud) == []
    await old.execute("select pg_advisory_unlock_all()")
    assert await tidied(cloud) == [OLD]


async def test_a_schema_that_only_looks_like_views_stays(cloud: Cloud, old: Connection) -> None:
    await old.execute("create schema views_of_a_friend")
    await cloud.create("host-2", name="h")
    await cloud.create("host-3", name="h")
    assert await tidied(cloud) == [OLD]
    assert await old.fetchval("select to_regnamespace('views_of_a_friend') is not null")


async def test_somebody_who_reads_them_is_not_disturbed(cloud: Cloud, old: Connection) -> None:
    await cloud.create("host-2", name="h")
    await cloud.create("host-3", name="h")
    async with old.transaction():
        await old.fetch("select * from resources")
        with pytest.raises(DATABASE_ERRORS):
            await tidied(cloud)
    assert await tidied(cloud) == [OLD]


async def test_a_projector_drops_them_once_its_own_are_complete(
    cloud: Cloud, old: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations.tidy, "__defaults__", (AT_ONCE,))
    await cloud.create("host-2", name="h")
    await cloud.create("host-3", name="h")
    await cloud.project()
    async with cloud.projecting():
        await cloud.create("host-4", name="h")
        assert await cloud.views.wait_for(await cloud.store.head(), 10)
        for _ in range(200):
            if not await generations.exists(old, OLD):
                break
            await old.fetchval("select pg_sleep(0.05)")
    assert not await generations.exists(old, OLD)
    seen = await cloud.views.get("host", 4)
    assert seen is not None
