"""Secrets of a real server: in clear in the answer to who may read them, and nowhere else - no table, no message, no output, no file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
import pytest
from nats.aio.msg import Msg

from deploy.embedded import noted
from tests.support.server import CHECKOUT, SCRUBBED, DidNotServe, Server

GIVEN = "given-by-the-user-1f9c"
SHOWN = "shown-on-the-screen-77ab"
SECONDS = 30.0


async def until(ask: Any, fits: Any) -> Any:
    deadline = time.monotonic() + SECONDS
    while not fits(found := await asyncio.to_thread(ask)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)
    return found


@contextlib.asynccontextmanager
async def listening(url: str) -> AsyncIterator[list[tuple[str, str]]]:
    """All that goes over NATS meanwhile: (subject, text)."""
    heard: list[tuple[str, str]] = []

    async def on_message(message: Msg) -> None:
        heard.append((message.subject, message.data.decode(errors="replace")))

    client = await nats.connect(url)
    try:
        await client.subscribe("corral.>", cb=on_message)
        await client.flush()
        yield heard
    finally:
        await client.close()


async def whole_database(dsn: str) -> str:
    """Every row of every table of ours, as text."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        )
        names = {table["name"] for table in tables}
        assert {"log.events", "log.keys"} <= names
        assert any(name.startswith("views_") and name.endswith(".resources") for name in names)
        rows = [record["row"] for name in names for record in await connection.fetch(f"select t::text as row from {name} t")]
        return "\n".join(rows)
    finally:
        await connection.close()


def corral(home: Path, *words: str) -> str:
    """What a command of the CLI says, on both streams."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED)}
    command = [sys.executable, "-m", "deploy.cli", *words]
    environment = {**kept, "CORRAL_HOME": str(home)}
    run = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


def files_of(home: Path) -> str:
    """What is in the home, but for Postgres' own files."""
    found = (path for path in home.rglob("*") if path.is_file() and "postgres" not in path.parts)
    return "\n".join(path.read_bytes().decode(errors="replace") for path in found)


class Api:
    """The API as its owner uses it."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def get(self, path: str, **params: Any) -> Any:
        return self.http.get(path, params=params).raise_for_status().json()

    def post(self, path: str, **fields: Any) -> Any:
        return self.http.post(path, json=fields).raise_for_status().json()

    async def until(self, path: str, **wanted: Any) -> Any:
        """The document once it says what is wanted."""
        return await until(lambda: self.get(path), lambda found: wanted.items() <= found.items())


@pytest.mark.timeout(240)
async def test_a_secret_is_in_the_answer_to_its_owner_and_nowhere_else(home: Path) -> None:
    with Server(home) as server, server.http() as http:
        where, api = noted(home), Api(http)
        async with listening(str(where["nats"])) as heard:
            key = f"/v1/apikeys/{api.post('/v1/apikeys', publicValue='p', secretValue=GIVEN)['id']}"
            made = f"/v1/apikeys/{api.post('/v1/apikeys')['id']}"
            box = f"/v1/containers/{api.post('/v1/containers', imageUuid='sim:1', data={'fields': {'libvirtVncPassword': SHOWN}})['id']}"
            await api.until(made, state="active")
            await api.until(box, state="running")
            http.put(key, json={**api.get(key), "name": "named"}).raise_for_status()
            await api.until(key, name="named", state="active")
            head = api.get("/corral/info")["position"]
            await until(lambda: [*heard], lambda found: any(f'"position":{head}' in text for _, text in found))

        # As ever in the answers to who may read them: by id, in lists, in a row's data.
        instance, generated = api.get(box), api.get(made)["secretValue"]
        token = instance["token"]
        assert api.get(key)["secretValue"] == GIVEN
        assert {each["secretValue"] for each in api.get("/v1/apikeys")["data"]} >= {GIVEN, generated}
        assert len(generated) == 40
        assert instance["data"]["fields"]["libvirtVncPassword"] == SHOWN
        assert re.fullmatch(r"[A-Za-z0-9]{60,}", token)

        history = http.get(f"{box}/history", params={"root": "true"}).text
        assert history.count('"token":"***"') == 1
        places = {
            "history": history,
            "its own history": http.get(f"{key}/history").text,
            "the log over HTTP": http.get("/v1/events", params={"limit": 1000}).text,
            "the database": await whole_database(str(where["postgres"])),
            "what the server says": server.said(),
        }
        stream, root = f"credential-{key.rpartition('c')[2]}", f"instance-{box.rpartition('i')[2]}"
        for words in ("events -o json", f"replay {stream}", f"replay {root}", f"replay {root} -o json", f"why {root}", "ps -a"):
            places[f"corral {words}"] = await asyncio.to_thread(corral, home, *words.split())
        assert all(places.values())
        assert not [(place, secret) for place, text in places.items() for secret in (GIVEN, SHOWN, generated, token) if secret in text]

        files, sent = files_of(home), "\n".join(text for _, text in heard)
        assert not [secret for secret in (GIVEN, SHOWN, generated) if secret in files or secret in sent]
        told = {subject.split(".")[1] for subject, text in heard if token in text}
        assert told == {"agent"}, "its agent is told the token, as Cattle's agents are; nobody else"


@pytest.mark.timeout(240)
async def test_after_a_purge_the_secret_is_gone_and_without_the_master_key_so_are_all(home: Path) -> None:
    with Server(home, hosts="none") as server:
        with server.http() as http:
            api = Api(http)
            gone, kept = (f"/v1/apikeys/{api.post('/v1/apikeys', publicValue=p, secretValue=GIVEN)['id']}" for p in "ab")
            await api.until(kept, state="active")
            for before, action in (("active", "deactivate"), ("inactive", "remove"), ("removed", "purge")):
                await api.until(gone, state=before)
                http.post(gone, params={"action": action}).raise_for_status()
            assert (await api.until(gone, state="purged"))["secretValue"] is None
            assert api.get(kept)["secretValue"] == GIVEN
            connection = await asyncpg.connect(str(noted(home)["postgres"]))
            streams = {row["stream"] for row in await connection.fetch("select stream from log.keys")}
            await connection.close()
            assert f"credential-{kept.rpartition('c')[2]}" in streams
            assert f"credential-{gone.rpartition('c')[2]}" not in streams
        server.stop()

        master, elsewhere = home / "master.key", home.with_name("elsewhere.key")
        assert master.stat().st_mode & 0o777 == 0o600
        master.rename(elsewhere)
        with pytest.raises(DidNotServe, match=r"(?s)wrapped with a master key, and the one that was given is another.*CORRAL_MASTER_KEY"):
            server.start()
        server.dead()
        server.start(master_key=str(elsewhere))
        with server.http() as http:
            assert Api(http).get(kept)["secretValue"] == GIVEN
