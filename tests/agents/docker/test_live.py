"""Live queries to a real engine: what a container writes, uses, runs and is, and commands in it."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from agents.docker import DockerDriver
from agents.driver import Json, LiveRefused
from agents.live import BAD_OPTION, NOT_RUNNING, NOT_THERE, Question, output_of
from tests.support.lab import LabHost

SECONDS = 30.0
TALK = "echo out; echo err >&2; for i in 1 2 3; do echo $i; done; exec sleep 600"


@dataclass
class Live:
    """An engine's driver, asked without agent and NATS."""

    driver: DockerDriver
    client: docker.APIClient
    image: str

    def run(self, script: str, *, tty: bool = False) -> str:
        """A container as the driver makes one. -> the instance's uuid"""
        own = str(uuid.uuid4())
        labels = {"corral.instance.uuid": own, "corral.instance.epoch": "1"}
        made = self.client.create_container(
            self.image, ["sh", "-c", script], labels=labels, tty=tty, name=f"live-{secrets.token_hex(4)}",
        )  # fmt: skip
        self.client.start(made["Id"])
        return own

    def ask(self, verb: str, own: str, given: AsyncIterator[Json] | None = None, **options: Any) -> AsyncGenerator[Json, None]:
        question = Question(query="q", verb=verb, instance={"uuid": own, "name": "web"}, options=options)
        return self.driver.live(question, given or nothing())

    async def all(self, verb: str, own: str, given: AsyncIterator[Json] | None = None, **options: Any) -> list[Json]:
        async with asyncio.timeout(SECONDS), aclosing(self.ask(verb, own, given, **options)) as pieces:
            return [piece async for piece in pieces]

    async def lines(self, own: str, **options: Any) -> list[tuple[str, str]]:
        return [(each["stream"], each["text"]) for piece in await self.all("logs", own, **options) for each in piece["lines"]]

    async def until_said(self, own: str, text: str) -> None:
        async with asyncio.timeout(SECONDS):
            while text not in [said for _, said in await self.lines(own)]:
                await asyncio.sleep(0.05)


async def nothing() -> AsyncGenerator[Json, None]:
    yield {"eof": True}


async def given(*pieces: Json) -> AsyncGenerator[Json, None]:
    for piece in pieces:
        yield piece


@pytest.fixture(params=["socket", "address"])
async def live(request: pytest.FixtureRequest, docker_hosts: dict[str, LabHost], tmp_path: Path) -> AsyncIterator[Live]:
    host = next(iter(docker_hosts.values()))
    driver = DockerDriver(host.base_url if request.param == "socket" else f"tcp://{host.address}:2375", name="rack-1")
    await driver.open(tmp_path)
    client = docker.APIClient(host.base_url, version="auto", timeout=30)
    live = Live(driver, client, host.image)
    yield live
    await driver.close()
    for each in client.containers(all=True, filters={"label": ["corral.instance.uuid"], "name": ["live-"]}):
        client.remove_container(each["Id"], force=True, v=True)
    client.close()


async def test_logs_tell_streams_apart_and_can_be_cut(live: Live) -> None:
    own = live.run(TALK)
    await live.until_said(own, "3")
    assert sorted(await live.lines(own)) == [("stderr", "err"), ("stdout", "1"), ("stdout", "2"), ("stdout", "3"), ("stdout", "out")]
    assert len(await live.lines(own, tail=2)) == 2
    assert await live.lines(own, streams=["stderr"]) == [("stderr", "err")]
    last = [each for piece in await live.all("logs", own) for each in piece["lines"]][-1]
    assert last["time"].endswith("Z")
    assert await live.lines(own, since=4e9) == []
    counting = live.run("for i in 1 2 3; do echo $i; done")
    await live.until_said(counting, "3")
    assert await live.lines(counting, tail=2) == [("stdout", "2"), ("stdout", "3")]


async def test_a_log_that_is_followed_goes_on_and_ends_with_the_container(live: Live) -> None:
    own = live.run("echo one; sleep 1; echo two")
    assert await live.lines(own, follow=True) == [("stdout", "one"), ("stdout", "two")]


async def test_a_terminal_s_log_has_whole_lines(live: Live) -> None:
    own = live.run("echo one; echo two >&2", tty=True)
    await live.until_said(own, "two")
    assert await live.lines(own) == [("stdout", "one"), ("stdout", "two")]


async def test_a_log_that_nobody_reads_further_waits_in_the_engine(live: Live) -> None:
    own = live.run("yes 0123456789 | head -n 500000; echo end")
    async with asyncio.timeout(2 * SECONDS), aclosing(live.ask("logs", own, follow=True)) as pieces:
        first = await anext(pieces)
        await asyncio.sleep(0.5)
        lines = [*first["lines"]]
        async for piece in pieces:
            assert len(piece["lines"]) < 2000
            lines += piece["lines"]
    assert (len(lines), lines[-1]["text"]) == (500_001, "end")


async def test_a_followed_log_that_is_closed_leaves_nothing_open(live: Live) -> None:
    own = live.run(TALK)
    async with asyncio.timeout(SECONDS):
        for _ in range(20):
            async with aclosing(live.ask("logs", own, follow=True)) as pieces:
                await anext(pieces)


async def test_what_it_is_and_uses_and_runs_and_what_happened_to_it(live: Live) -> None:
    own = live.run(TALK)
    (inspected,) = await live.all("inspect", own)
    assert inspected["State"]["Running"] is True
    (sample,) = await live.all("stats", own)
    assert sample["memoryBytes"] > 0
    assert sample["processes"] >= 1
    async with asyncio.timeout(SECONDS), aclosing(live.ask("stats", own, follow=True)) as samples:
        assert (await anext(samples))["time"] < (await anext(samples))["time"]
    (processes,) = await live.all("top", own)
    assert any("sleep 600" in row[-1] for row in processes["processes"])
    assert [each["action"] for each in await live.all("events", own)][:2] == ["create", "start"]
    follows = asyncio.create_task(live.all("events", own, follow=True, since=0))
    live.client.kill(inspected["Id"])
    async with asyncio.timeout(SECONDS), aclosing(live.ask("events", own, follow=True)) as pieces:
        async for piece in pieces:
            if piece["action"] == "die":
                break
    follows.cancel()
    await asyncio.gather(follows, return_exceptions=True)


async def test_a_command_s_output_input_and_status_come_and_go(live: Live) -> None:
    own = live.run(TALK)
    output = await live.all("exec", own, command=["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert output[0] == {"started": True}
    assert sorted((each["stream"], each["text"]) for each in output[1:-1]) == [("stderr", "err\n"), ("stdout", "out\n")]
    assert output[-1] == {"exit": 7}
    echoed = await live.all("exec", own, given({"stdin": "gr\u00fc\u00df"}, {"base64": "/w=="}, {"eof": True}), command=["cat"])
    assert b"".join(output_of(each) for each in echoed[1:-1]) == "gr\u00fc\u00df".encode() + b"\xff"
    told = await live.all("exec", own, command=["sh", "-c", "echo $A; pwd"], env=["A=1"], directory="/tmp")
    assert "".join(each["text"] for each in told[1:-1]) == "1\n/tmp\n"


async def test_a_command_on_a_terminal_knows_its_size_and_hears_of_a_new_one(live: Live) -> None:
    own = live.run(TALK)
    said = given({"resize": [100, 30]}, {"stdin": "stty size; exit\n"})
    output = await live.all("exec", own, said, command=["sh"], tty=True, size=[80, 24])
    assert "30 100" in "".join(each.get("text", "") for each in output)


async def test_much_input_comes_back_whole(live: Live) -> None:
    own = live.run(TALK)
    chunks = [{"stdin": f"{number:010}" * 2000} for number in range(100)]
    output = await live.all("exec", own, given(*chunks, {"eof": True}), command=["cat"])
    assert "".join(each["text"] for each in output[1:-1]) == "".join(each["stdin"] for each in chunks)


async def test_what_does_not_run_or_is_not_there_is_refused(live: Live) -> None:
    own = live.run("exit 0")
    async with asyncio.timeout(SECONDS):
        while (await live.all("inspect", own))[0]["State"]["Running"]:
            await asyncio.sleep(0.05)
    for verb in ("stats", "top", "exec"):
        with pytest.raises(LiveRefused, match=r"web is exited on its host.*Start it first") as refused:
            await live.all(verb, own, command=["ls"])
        assert refused.value.code == NOT_RUNNING
    assert await live.lines(own) == []
    with pytest.raises(LiveRefused, match=r"web has no container on host rack-1: .*Start it") as absent:
        await live.all("logs", str(uuid.uuid4()))
    assert absent.value.code == NOT_THERE


async def test_what_the_engine_says_is_wrong_is_told(live: Live) -> None:
    own = live.run(TALK)
    output = await live.all("exec", own, command=["ls"], user="nobody-such")
    assert "unable to find user nobody-such" in str(output), "as docker exec tells it: with the output"
    assert output[-1]["exit"] > 0
    with pytest.raises(LiveRefused, match="can't use ps --no-such-option: Docker says: ") as refused:
        await live.all("top", own, ps="--no-such-option")
    assert refused.value.code == BAD_OPTION
