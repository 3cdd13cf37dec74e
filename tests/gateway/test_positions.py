"""Reads and writes while the views lag, cannot be read, or must hold a position."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from commands import events
from eventstore import Event
from eventstore.postgres import PostgresStore
from tests.support.http import Api, serving


async def test_without_a_projector_commands_are_accepted_and_answered_by_id(store: PostgresStore, database: str) -> None:
    async with serving(store, database, projecting=False) as api:
        started = time.monotonic()
        made = await api.post("/v1/hosts", name="h")
        assert time.monotonic() - started < 2
        assert (await api.get(f"/v1/hosts/{made['id']}"))["name"] == "h"
        assert (await api.get("/v1/hosts"))["data"] == []  # lists may lag
        changed = await api.http.put(f"/v1/hosts/{made['id']}", json={"name": "renamed"})
        assert changed.json()["name"] == "renamed"
        async with api.project():
            await api.settled()
        assert [each["name"] for each in (await api.get("/v1/hosts"))["data"]] == ["renamed"]


async def test_a_read_can_ask_for_a_position(store: PostgresStore, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(store, database, projecting=False) as api:
        response = await api.http.post("/v1/hosts", json={"name": "h"})
        position = response.headers["X-Corral-Position"]
        with monkeypatch.context() as sooner:
            sooner.setattr("gateway.app.MIN_POSITION_WAIT", 0.3)
            refused = await api.http.get("/v1/hosts", params={"min_position": position})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        async with api.project():
            listed = await api.get("/v1/hosts", min_position=position)
            assert [each["name"] for each in listed["data"]] == ["h"]
        assert (await api.http.get("/v1/hosts?min_position=soon")).status_code == 422
        beyond = await api.http.get("/v1/hosts", params={"min_position": int(position) + 1})
        assert (beyond.status_code, beyond.json()["fieldName"]) == (422, "min_position")
        assert f"the log ends at {position}" in beyond.json()["message"]


async def test_a_client_sees_what_it_just_did(api: Api) -> None:
    for number in range(20):
        made = await api.post("/v1/hosts", name=f"host {number}")
        found = (await api.get("/v1/hosts", name=f"host {number}"))["data"]
        assert [each["id"] for each in found] == [made["id"]]


async def test_by_id_is_newer_than_the_views(store: PostgresStore, database: str) -> None:
    async with serving(store, database, projecting=False) as api:
        made = await api.post("/v1/hosts", name="first")
        async with api.project():
            await api.settled()
        await api.http.put(f"/v1/hosts/{made['id']}", json={"name": "second"})
        assert (await api.get("/v1/hosts"))["data"][0]["name"] == "first"
        assert (await api.get(f"/v1/hosts/{made['id']}"))["name"] == "second"


async def test_views_that_are_gone_are_503_for_lists_and_nothing_for_the_rest(store: PostgresStore, database: str) -> None:
    async with serving(store, database, projecting=False) as api:
        made = await api.post("/v1/hosts", name="h")
        connection = await asyncpg.connect(database)
        await connection.execute(f'drop schema "{api.views.schema}" cascade')
        await connection.close()
        assert (await api.get(f"/v1/hosts/{made['id']}"))["name"] == "h"
        listed = await api.http.get("/v1/hosts")
        assert (listed.status_code, listed.json()["code"], listed.headers["Retry-After"]) == (503, "Service Unavailable", "1")
        assert (await api.post("/v1/hosts", name="another"))["name"] == "another"
        health = await api.http.get("/healthcheck")
        assert health.status_code == 503
        assert health.json()["checks"]["log"]["healthy"] is True
        async with api.project():  # the projector makes them anew
            await api.settled()
        assert len((await api.get("/v1/hosts"))["data"]) == 2


async def test_a_closed_log_is_503(api: Api) -> None:
    await api.store.close()
    response = await api.http.post("/v1/hosts", json={"name": "h"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json()["status"] == 503


async def test_links_and_lists_do_not_fall_behind_what_was_told_by_id(store: PostgresStore, database: str) -> None:
    """A client waits by id until an instance runs; its links then tell of that too."""
    async with serving(store, database, projecting=False) as api:
        machine = await api.post("/v1/physicalhosts")
        made = await api.post("/v1/hosts", name="h", physicalHostId=machine["id"])
        number = made["id"].removeprefix("1h")
        async with api.project():
            await api.settled()
        last = await api.happened(f"host-{number}", Event(events.UPDATED, {"changes": {"name": "newer"}}))
        answer = await api.http.get(f"/v1/hosts/{made['id']}")
        assert answer.json()["name"] == "newer"
        assert answer.headers["X-Corral-Position"] == str(last)

        async def project_late() -> None:
            await asyncio.sleep(0.05)
            async with api.project():
                await api.settled()

        late = asyncio.create_task(project_late())
        assert [each["name"] for each in (await api.get(f"/v1/physicalhosts/{machine['id']}/hosts"))["data"]] == ["newer"]
        assert [each["name"] for each in (await api.get("/v1/hosts"))["data"]] == ["newer"]
        await late


async def test_a_list_that_cannot_keep_up_is_given_anyway(store: PostgresStore, database: str) -> None:
    async with serving(store, database, projecting=False) as api:
        await api.post("/v1/hosts", name="h")
        started = time.monotonic()
        assert (await api.get("/v1/hosts"))["data"] == []
        assert time.monotonic() - started < 2


async def test_a_database_that_only_reads_is_not_healthy(api: Api, database: str) -> None:
    assert (await api.http.get("/healthcheck")).status_code == 200
    await read_only(database, True)
    health = await api.http.get("/healthcheck")
    assert health.status_code == 503
    assert "read-only" in health.json()["checks"]["log"]["message"]
    assert (await api.http.post("/v1/hosts", json={"name": "h"})).status_code == 503
    await read_only(database, False)
    async with asyncio.timeout(30):
        while (await api.http.get("/healthcheck")).status_code != 200:
            await asyncio.sleep(0.05)


async def read_only(database: str, only: bool) -> None:
    """From now on, for all that connect; who is connected has to anew."""
    connection = await asyncpg.connect(database, timeout=10, server_settings={"default_transaction_read_only": "off"})
    try:
        name = await connection.fetchval("select current_database()")
        await connection.execute(f'alter database "{name}" set default_transaction_read_only to {"on" if only else "off"}')
        others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()"
        await connection.fetch(others, name)
    finally:
        await connection.close(timeout=5)
