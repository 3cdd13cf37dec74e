"""archive, replay --to, diff and inspect --at as a person types them, against a real server's log; archive killed at every step."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
from nats.aio.msg import Msg

from agents.wire import PARTITIONS, Message
from commands.turns.interventions import Cancel
from deploy.embedded import EmbeddedNats, hold
from deploy.embedded.home import noted
from eventstore import Event, Write
from eventstore.archiving import STEPS
from eventstore.postgres import PostgresStore
from tests.deploy.test_cli import Cli
from tests.support.cloud import Cloud, a_running_cloud
from tests.support.server import CHECKOUT, Server

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("history") / "home") as server:
        yield server


@pytest.fixture(scope="module")
def corral(server: Server) -> Cli:
    return Cli(server.home)


@pytest.fixture(scope="module")
def story(corral: Cli) -> dict[str, Any]:
    """Two instances: one that runs, one that was removed and purged; with the positions between."""

    def head() -> int:
        return max(int(each["position"]) for each in corral.lines("events", "--last", "1"))

    told: dict[str, Any] = {"begin": head()}
    told["kept"] = corral("run", "sim:hello", "--name", "kept").strip().splitlines()[-1]
    told["gone"] = corral("run", "sim:hello", "--name", "gone").strip().splitlines()[-1]
    told["both"] = head()
    corral("rm", "gone", "--purge")
    told["end"] = head()
    return told


def stream(number: str) -> str:
    return f"instance-{number.removeprefix('1i')}"


def test_everything_as_it_was_is_counted_listed_and_shown(corral: Cli, story: dict[str, Any]) -> None:
    both = str(story["both"])
    assert corral.json("replay", "--to", both)["types"]["container"]["running"] >= 2
    assert "container" in corral("replay", "--to", both)
    listed = corral.json("replay", "--to", both, "--type", "container", "--where", "state=running")
    assert {"kept", "gone"} <= {each["name"] for each in listed}
    assert [each["name"] for each in corral.json("replay", "--to", both, "--type", "container", "--where", "name=gone")] == ["gone"]
    now = corral.json("replay", "--to", str(story["end"]), "--type", "container")
    assert "gone" not in {each["name"] for each in now}
    gone = corral.json("replay", "--to", str(story["end"]), "--type", "container", "--all", "--where", "name=gone")
    assert [each["state"] for each in gone] == ["purged"]
    for thing in (story["gone"], stream(story["gone"]), "gone"):
        assert corral.json("replay", "--to", both, "--show", thing)["state"] == "running"
    assert "running" in corral("inspect", story["gone"], "--at", both)
    assert corral.json("inspect", story["gone"], "--at", both)["state"] == "running"
    assert corral.json("inspect", story["gone"], "--at", "0s")["state"] == "purged"
    assert corral.json("replay", story["gone"], "--to", both)[-1]["state"]["state"] == "running"


def test_a_schema_holds_the_views_of_then_and_is_dropped(corral: Cli, server: Server, story: dict[str, Any]) -> None:
    made = corral.json("replay", "--to", str(story["both"]), "--into", "monday")
    assert made["position"] == story["both"]
    again = corral.ended("replay", "--to", "5", "--into", "monday", status=1).stderr
    assert "--drop" in again

    async def asked() -> list[Any]:
        connection = await asyncpg.connect(str(noted(server.home)["postgres"]))
        try:
            return await connection.fetch("select id from monday.resources where kind = 'container' and row ->> 'state' = 'running'")
        finally:
            await connection.close()

    assert len(asyncio.run(asked())) >= 2
    corral("replay", "--drop", "monday")
    assert "no schema that corral" in corral.ended("replay", "--drop", "monday", status=1).stderr


def test_what_changed_is_told_by_request(corral: Cli, story: dict[str, Any]) -> None:
    found = corral.json("diff", str(story["begin"]), str(story["both"]))
    mine = [deed for deed in found["deeds"] if any(each["name"] == "kept" for each in deed["changes"])]
    assert [deed["processes"][0] for deed in mine] == ["instance.create"]
    assert mine[0]["by"].startswith("admin (account-")
    [change] = [each for each in mine[0]["changes"] if each["name"] == "kept"]
    assert change["what"] == "created"
    assert change["fields"]["state"] == {"from": None, "to": "running"}
    text = corral("diff", str(story["both"]), "--type", "container")
    assert f"- {stream(story['gone'])} (gone)" in text
    assert "state: running -> " in text
    one = corral.json("diff", "0", "--thing", story["kept"])
    assert {each["stream"] for deed in one["deeds"] for each in deed["changes"]} == {stream(story["kept"])}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay",), "name a stream"),
        (("replay", "--to", "nonsense"), "is no moment"),
        (("replay", "--to", "99999999"), "is not there yet"),
        (("replay", "--to", "2999-01-01"), "still to come"),
        (("replay", "web", "--type", "container", "--to", "5"), "leave the stream out"),
        (("replay", "--to", "5", "--type", "nothing"), "there is no type nothing"),
        (("replay", "--to", "5", "--type", "host", "--where", "x"), "name=value"),
        (("replay", "--to", "5", "--type", "container", "--where", "imageid=1"), "no such field of container; near it: imageId"),
        (("replay", "--to", "5", "--where", "xyzzy=1"), "no such field of any type, nor any like it: `corral replay"),
        (("replay", "--to", "5", "--into", "log"), "can't be a scratch schema's name"),
        (("replay", "--to", "5", "--into", 'x"; drop'), "can't be a scratch schema's name"),
        (("replay", "--drop", "views_abc"), "can't be a scratch schema's name"),
        (("diff", "50", "10"), "the earlier one goes first"),
        (("diff", "5", "--type", "nothing"), "there is no type nothing"),
        (("diff", "5", "--thing", "web"), "an id (1i54)"),
        (("archive",), "--before what, or --check"),
        (("archive", "--before", "1", "--check"), "one of them"),
        (("archive", "--before", "yesterday"), "is no moment"),
    ],
)
def test_what_makes_no_sense_is_said_so(corral: Cli, words: tuple[str, ...], said: str) -> None:
    assert said in " ".join(corral.ended(*words, status=2).stderr.split())


def test_positions_that_are_not_in_the_log_are_refused(corral: Cli) -> None:
    assert "which goes from 1 to" in corral.ended("archive", "--before", "99999999", status=1).stderr
    assert "which goes from 1 to" in corral.ended("archive", "--before", "0", status=1).stderr


def purge_what_belonged_to_it(corral: Cli, server: Server, root: str) -> None:
    """Now, and not a minute after the removal."""
    with server.http() as http:
        events = http.get("/v1/events", params={"root": root, "limit": 1000}).json()["data"]
        for own in {each["stream"] for each in events} - {root}:
            kind, _, number = own.rpartition("-")
            document = http.get(f"/v1/{kind.lower()}s/{number}", params={"_plainId": "true"}).raise_for_status().json()
            if "purge" in document["actions"]:  # else the minute is over already
                http.post(f"{document['actions']['purge']}&_plainId=true")


def test_an_archived_log_is_looked_back_at_as_before(corral: Cli, server: Server, story: dict[str, Any]) -> None:
    gone, both = story["gone"], str(story["both"])
    purge_what_belonged_to_it(corral, server, stream(gone))
    corral("run", "sim:hello", "--name", "later")  # the log's last event never leaves it
    deadline = time.monotonic() + 60
    while not (planned := corral.json("archive", "--before", "0s", "--dry-run"))["events"]:
        assert time.monotonic() < deadline, "the instance's volumes and maps are not purged"
        time.sleep(0.2)
    asked = [
        ("replay", "--to", both), ("replay", gone), ("why", gone), ("trace", gone), ("diff", str(story["begin"]), both),
        ("replay", "--to", both, "--show", gone), ("logs", gone), ("inspect", gone),
    ]  # fmt: skip
    before = [corral.json(*words) for words in asked]
    done = corral.json("archive", "--before", str(planned["before"]))
    assert (done["streams"], done["events"]) == (planned["streams"], planned["events"])
    assert Path(done["folder"]).parent == server.home / "archive"
    assert "all are as they were written" in corral("archive", "--check")
    assert [corral.json(*words) for words in asked] == before
    assert corral.json("rebuild")["equal"]
    assert "nothing to archive" in corral("archive", "--before", str(planned["before"])).lower()
    positions = [each["position"] for each in corral.lines("events")]
    assert positions == list(range(1, len(positions) + 1))

    file = Path(done["folder"]).parent / done["files"][0]["name"]
    moved = file.rename(file.with_suffix(".away"))
    try:
        assert str(file) in corral("archive", "--check", status=1)
        assert str(file) in corral.ended("replay", "--to", both, status=1).stderr
        assert corral("run", "sim:hello", "--name", "after")  # what lives goes on without it
    finally:
        moved.rename(file)
    assert "all are as they were written" in corral("archive", "--check")


# --- archive, killed


async def a_log(dsn: str) -> int:
    store = await PostgresStore.open(dsn, partition_size=40)
    for number in range(60):
        events = [Event("created", {"changes": {"n": n}}, {"correlation": f"r{number}"}) for n in range(3)]
        if number % 2:
            events[-1] = replace(events[-1], metadata={"closed": True})
        await store.append([Write(f"instance-{number}", 0, tuple(events))])
    await store.append([Write("host-1", 0, (Event("created", {"changes": {}}),))])
    head = await store.head()
    await store.close()
    return head


@pytest.mark.parametrize("step", STEPS)
async def test_an_archive_that_is_killed_is_run_again(database: str, tmp_path: Path, step: str) -> None:
    head = await a_log(database)
    store = await PostgresStore.open(database)
    log = await store.read_all(limit=10_000)

    def archive(**variables: str) -> int:
        words = ["archive", "--before", str(head), "--postgres", database, "--to", str(tmp_path / "archive"), "-o", "json"]
        environment = Cli(tmp_path, {**variables, "CORRAL_HOME": str(tmp_path)}).environment()
        command = [sys.executable, "-m", "deploy.cli", *words]
        return subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, timeout=60, check=False).returncode

    assert await asyncio.to_thread(archive, CORRAL_FAILPOINT=f"archive-{step}") == -9
    assert await store.read_all(limit=10_000) == log
    assert await asyncio.to_thread(archive) == 0
    assert await store.read_all(limit=10_000) == log
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM log.events") == 30 * 3 + 1
    assert await connection.fetchval("SELECT sum(events) FROM log.archive_files") == 30 * 3
    await connection.close()
    await store.close()


async def a_log_cut_off(dsn: str, nats_url: str) -> int:
    """Of a cloud that died in the middle: of starts that wait for an agent or a handler, and of undoing one that was cancelled."""

    async def behave(message: Message) -> Any:
        return None if message.name.startswith("compute.instance.") else {}

    store = await PostgresStore.open(dsn)
    async with a_running_cloud(store, nats_url, behave=behave) as cloud:
        handler = await cloud.create("externalHandler", name="demo", processNames=["pre.instance.start"])
        asked = await cloud.create("container", imageUuid="sim:hello")
        await until_asked(cloud, asked.stream, "pre.instance.start;handler=demo")
        await cloud.commands.run("externalHandler", handler.id, "deactivate", {}, cloud.actor)
        others = [await cloud.create("container", imageUuid="sim:hello") for _ in range(3)]
        for each in others:
            await until_asked(cloud, each.stream, "compute.instance.activate")
        await cloud.commands.intervene("instance", others[0].id, Cancel(), cloud.actor)
        await until_asked(cloud, others[0].stream, "compute.instance.deactivate")
        await cloud.commands.run("externalHandler", handler.id, "activate", {}, cloud.actor)
        last = await cloud.create("container", imageUuid="sim:hello")
        await until_asked(cloud, last.stream, "pre.instance.start;handler=demo")
    log = await store.read_all(limit=10_000)
    answered = {event.data["id"] for event in log if event.type in ("step-succeeded", "step-failed")}
    unanswered = {event.data["command"] for event in log if event.type == "step-requested" and event.data["id"] not in answered}
    assert unanswered >= {"compute.instance.activate", "compute.instance.deactivate", "pre.instance.start;handler=demo"}
    assert len(await store.due_work(range(PARTITIONS))) >= 4
    await store.close()
    return log[-1].position


async def until_asked(cloud: Cloud, stream: str, command: str) -> None:
    async with asyncio.timeout(30):
        while not any(event.data.get("command") == command for event in await cloud.store.read_root(stream)):
            await asyncio.sleep(0.02)


async def test_replaying_publishes_nothing(database: str, nats_url: str, tmp_path: Path) -> None:
    head = await a_log_cut_off(database, nats_url)
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    (tmp_path / "nats").mkdir()
    with hold(tmp_path / "nats") as held:
        async with EmbeddedNats(held, preferred=0) as server:
            client = await nats.connect(server.url)
            await client.subscribe(">", cb=hear)
            await client.flush()
            await client.publish("a.test", b"")
            corral = Cli(tmp_path, {"CORRAL_NATS": server.url, "CORRAL_POSTGRES": database})
            for words in (
                ("replay", "--to", str(head)), ("replay", "--to", str(head), "--type", "instance"),
                ("replay", "--to", str(head), "--show", "instance-1"), ("replay", "--to", str(head), "--into", "monday"),
                ("diff", "0"), ("rebuild",), ("archive", "--before", str(head)),
            ):  # fmt: skip
                await asyncio.to_thread(corral, *words)
            await client.flush()
            await asyncio.sleep(0.3)
            await client.close()
    assert heard == ["a.test"]
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT max(position) FROM log.events") == head, "nor does it write to the log"
    await connection.close()


def test_the_page_on_history_can_be_run_as_it_is_written(corral: Cli) -> None:
    page = (CHECKOUT / "docs" / "history.md").read_text()
    lines = [line.partition("#")[0].split()[1:] for line in page.splitlines() if line.startswith("    corral ")]
    assert len(lines) >= 14
    for words in lines:
        corral(*words)


def test_an_image_gives_way_to_an_instance_of_its_name_also_in_what_was(corral: Cli) -> None:
    made = corral("run", "sim:namesake", "--name", "namesake").strip().splitlines()[-1]
    for _ in ("it lives", "it is removed"):
        assert corral.json("replay", "--to", "0s", "--show", "namesake")["stream"] == stream(made)
        assert corral.json("inspect", "namesake")["id"] == made
        corral("rm", made)


def test_a_retry_or_cancel_that_finds_nothing_to_do_says_so(corral: Cli) -> None:
    made = corral("run", "sim:calm", "--name", "calm").strip().splitlines()[-1]
    retried, cancelled = corral.ended("retry", "calm"), corral.ended("cancel", "calm")
    assert (retried.stdout, cancelled.stdout) == (f"{made} running\n",) * 2
    assert f"calm ({made}): nothing was under way or had failed, so nothing was done." in retried.stderr
    assert f"calm ({made}): nothing was under way, so nothing was done." in cancelled.stderr
    assert "nothing was done" not in corral.ended("force-remove", "calm").stderr
