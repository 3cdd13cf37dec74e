"""Live queries to a real libvirt: what a machine says on its console, uses and is; what can't be asked of one says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from agents.driver import LiveRefused
from agents.libvirt import live
from agents.live import BAD_OPTION, NOT_RUNNING, NOT_THERE, UNKNOWN_VERB, Question
from gateway.live.verbs import VERBS
from tests.agents.libvirt.host import Host, Json, vm


@pytest.fixture
def host(libvirt_host: Host) -> Host:
    return libvirt_host


async def nothing() -> AsyncIterator[Json]:
    return
    yield


def ask(host: Host, verb: str, tree: Json, **options: Any) -> AsyncGenerator[Json, None]:
    question = Question(query="q", verb=verb, instance={"uuid": tree["uuid"], "name": "box"}, host={"kind": "libvirt"}, options=options)
    return host.driver.live(question, nothing())


async def all_of(host: Host, verb: str, tree: Json, **options: Any) -> list[Json]:
    async with asyncio.timeout(40), aclosing(ask(host, verb, tree, **options)) as pieces:
        return [piece async for piece in pieces]


async def refused(host: Host, verb: str, tree: Json, **options: Any) -> tuple[str, str]:
    with pytest.raises(LiveRefused) as caught:
        await all_of(host, verb, tree, **options)
    return caught.value.code, str(caught.value)


def text(pieces: list[Json]) -> str:
    return "".join(f"{each['text']}{'' if each.get('partial') else chr(10)}" for piece in pieces for each in piece["lines"])


async def test_a_machine_is_looked_at_while_it_runs_and_after(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 0})
    assert (await refused(host, "inspect", tree))[0] == NOT_THERE
    started = await host.start(tree)
    password = started["instance"]["+data"]["+fields"]["libvirtVncPassword"]
    await host.says(tree, "corral boot 1\n.")

    [known] = await all_of(host, "inspect", tree)
    assert (known["active"], known["state"], known["vcpus"], known["maximumMemoryBytes"]) == (True, "running", 1, 32 * 1024 * 1024)
    assert tree["uuid"] in known["xml"]
    assert password not in known["xml"]

    [sample] = await all_of(host, "stats", tree)
    assert sample["cpuPercent"] >= 0
    assert (sample["cpus"], sample["memoryLimitBytes"]) == (1, 32 * 1024 * 1024)
    assert sample["memoryBytes"] > 1024 * 1024
    assert sample["readBytes"] > 0
    async with asyncio.timeout(40), aclosing(ask(host, "stats", tree, follow=True)) as samples:
        assert [(await anext(samples))["cpus"] for _ in range(2)] == [1, 1]

    assert text(await all_of(host, "logs", tree)).startswith("corral boot 1\n.")
    assert "boot" not in text(await all_of(host, "logs", tree, tail=1))
    assert await all_of(host, "logs", tree, streams=["stderr"]) == []
    assert (await refused(host, "logs", tree, since=1.0))[0] == BAD_OPTION

    await host.stop(tree)
    assert (await refused(host, "stats", tree))[0] == NOT_RUNNING
    assert (await all_of(host, "inspect", tree))[0]["state"] == "shutoff"
    assert "corral boot 1" in text(await all_of(host, "logs", tree))


async def test_its_console_is_followed_until_it_ends(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 0})
    await host.start(tree)
    await host.says(tree, "corral boot 1\n.")
    said = ""
    async with asyncio.timeout(60), aclosing(ask(host, "logs", tree, follow=True, tail=0)) as pieces:
        said += text([await anext(pieces)])
        assert said.startswith(".")
        assert "boot" not in said
        await host.stop(tree)
        async for piece in pieces:
            said += text([piece])
    assert set(said) == {"."}


@pytest.mark.parametrize(
    ("verb", "why"), [("exec", "takes no commands from its host"), ("top", "its host does not see them"), ("events", "no record")]
)
async def test_what_a_machine_has_not_says_why(host: Host, verb: str, why: str) -> None:
    code, said = await refused(host, verb, vm({}))
    assert code == UNKNOWN_VERB
    assert why in said


def test_every_verb_that_there_is_has_an_answer_or_a_reason() -> None:
    assert VERBS.keys() == live.VERBS
