"""Whatever looks back masks secrets, however they came into the log: created, updated, given to an action, answered by a handler."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.embedded.home import noted
from tests.deploy.test_cli import Cli
from tests.deploy.test_cli_history import purge_what_belonged_to_it
from tests.support.plain_handler import a_plain_handler, with_body
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

RENEWING = '''from commands.catalogue.model import Action, Decide, Process, ResourceType
from commands.catalogue.types.common import INPUT, fld

GIVEN = {"secretValue": fld("secretValue", "string", "c", secret=True)}


def renew(turn, credential):
    turn.change(credential, {"secretValue": turn.input(credential)["secretValue"]})


def extend(catalogue):
    catalogue.add_type(ResourceType("renewal", "renewals", "1rn", GIVEN, admin=INPUT, stored=False))
    catalogue.add_action("credential", Action("renew", "renewal", "credential"))
    catalogue.add_processes([
        Process("credential.renew", "credential", ("active",), "updating-active", "active", handlers=(Decide(renew),)),
    ])
'''
"""An action whose input is a secret: Corral's own have none."""

SECRETS = {way: f"a-secret-that-was-{way}" for way in ("created", "updated", "given", "answered", "archived")}


@dataclass(frozen=True, slots=True)
class Told:
    """All that was shown, by the words that asked for it."""

    shown: dict[str, str]
    archived: str
    in_clear: list[str]
    """What the owner was answered, on the way."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    home = tmp_path_factory.mktemp("secrets") / "home"
    (home / "extensions").mkdir(parents=True)
    (home / "extensions" / "renewing.py").write_text(RENEWING)
    home.chmod(0o700)
    with Server(home) as server, server.http() as http:
        corral = Cli(home)
        key, in_clear = asyncio.run(a_life_of_secrets(http, str(noted(home)["nats"])))
        archived_box(server, http, corral)
        corral("archive", "--before", "0s")
        files = [file for file in (home / "archive").rglob("*") if file.is_file()]
        yield Told(asked(corral, f"credential-{key.removeprefix('1c')}", home), "".join(map(text_of, files)), in_clear)


async def a_life_of_secrets(http: httpx.Client, nats_url: str) -> tuple[str, list[str]]:
    """-> the credential's id, its secret as its owner was told it after each change"""
    made = post(http, "/v1/apikeys", name="the-key", publicValue="public", secretValue=SECRETS["created"])
    path, told = f"/v1/credentials/{made['id']}", []

    def settled(secret: str) -> None:
        found = until(lambda: http.get(path).json(), lambda seen: seen["state"] == "active" and seen["secretValue"] == SECRETS[secret])
        told.append(found["secretValue"])

    await asyncio.to_thread(settled, "created")
    http.put(path, json={"secretValue": SECRETS["updated"]}).raise_for_status()
    await asyncio.to_thread(settled, "updated")
    answer = with_body({"data": {"secretValue": SECRETS["answered"]}})
    async with a_plain_handler(nats_url, answer, "corral.handler.keys.>"):
        post(http, "/v1/externalhandlers", name="keys", processNames=["pre.credential.renew", "post.credential.update"])
        http.put(path, json={"description": "asks the handler"}).raise_for_status()
        await asyncio.to_thread(post, http, f"{path}/?action=renew", secretValue=SECRETS["given"])
        await asyncio.to_thread(settled, "given")
    return str(made["id"]), told


def archived_box(server: Server, http: httpx.Client, corral: Cli) -> None:
    """An instance with a secret of its own, whose whole life is over."""
    made = post(http, "/v1/containers", name="box", imageUuid="sim:box", data={"fields": {"libvirtVncPassword": SECRETS["archived"]}})
    until(lambda: http.get(f"/v1/containers/{made['id']}").json()["state"], lambda state: bool(state == "running"))
    corral("rm", "box", "--purge")
    purge_what_belonged_to_it(corral, server, f"instance-{made['id'].removeprefix('1i')}")
    corral("run", "sim:later", "--name", "later")  # the log's last event never leaves it
    deadline = time.monotonic() + 60
    while not corral.json("archive", "--before", "0s", "--dry-run")["events"]:
        assert time.monotonic() < deadline, "what belonged to it is not purged"
        time.sleep(0.2)


def post(http: httpx.Client, path: str, **fields: Any) -> dict[str, Any]:
    answer = http.post(path, json=fields)
    assert answer.status_code < 300, answer.text
    document: dict[str, Any] = answer.json()
    return document


def asked(corral: Cli, key: str, home: Path) -> dict[str, str]:
    questions = [
        ("replay", key), ("replay", key, "--full"), ("replay", "--to", "0s"), ("replay", "--to", "0s", "--type", "credential"),
        ("replay", "--to", "0s", "--show", key), ("inspect", key, "--at", "0s"), ("diff", "0"), ("diff", "0", "--thing", key),
        ("events",), ("events", "--stream", key), ("logs", key), ("why", key),
    ]  # fmt: skip
    shown = {" ".join(words + more): corral(*words, *more) for words in questions for more in ((), ("-o", "json"))}
    corral("replay", "--to", "0s", "--into", "monday")
    return {**shown, "replay --into": asyncio.run(rows_of(str(noted(home)["postgres"]), "monday"))}


async def rows_of(dsn: str, schema: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = $1", schema)
        assert tables
        found = [row["row"] for (table,) in tables for row in await connection.fetch(f"select t::text as row from {table} t")]
        return "\n".join(found)
    finally:
        await connection.close()


def text_of(file: Path) -> str:
    content = file.read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode(errors="replace")


@pytest.mark.parametrize("way", SECRETS)
def test_a_secret_is_in_nothing_that_looks_back(told: Told, way: str) -> None:
    assert {words for words, text in told.shown.items() if SECRETS[way] in text} == set()
    assert SECRETS[way] not in told.archived


def test_its_owner_was_told_each_of_them_and_all_others_that_there_is_one(told: Told) -> None:
    assert told.in_clear == [SECRETS["created"], SECRETS["updated"], SECRETS["given"]]
    key = next(words.split()[1] for words in told.shown if words.startswith("replay credential-"))
    for words in (f"replay {key}", f"replay {key} --full", f"replay --to 0s --show {key}", "diff 0"):
        assert "***" in told.shown[words], words
        assert "***" in told.shown[f"{words} -o json"], words
    masked = [json.loads(line)["type"] for line in told.shown[f"events --stream {key} -o json"].splitlines() if "***" in line]
    assert {"created", "process-started", "step-succeeded"} <= set(masked), "also what an action was given, and what a handler answered"
    assert "libvirtVncPassword" in told.archived
