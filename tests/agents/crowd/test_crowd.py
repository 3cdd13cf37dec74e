"""Simulated hosts in a crowd: agents as any other, that suffer what the dice say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agents.crowd import crowd as module
from agents.crowd.crowd import Crowd, CrowdOptions
from agents.crowd.faults import Profile, Rule
from agents.crowd.host import CrowdHost
from agents.crowd.ledger import Part
from agents.joining.registration import Place
from agents.process.ledger import Arrival, Behind, Fresh, Ledger
from agents.wire import Message
from tests.agents.orders import Ear, activate, deactivate, instance
from tests.support.waiting import happens


@asynccontextmanager
async def crowd(nats_url: str, folder: Path, number: int, *rules: Rule, hosts: int = 1) -> AsyncIterator[Crowd]:
    """Of agents with the numbers from `number` on."""
    living = Crowd(CrowdOptions("", folder, hosts, profile=Profile(rules=rules), heartbeat_seconds=0.1))
    task = asyncio.create_task(living.live([Place(number + index, nats_url, created=False) for index in range(hosts)]))
    try:
        await happens(lambda: living.hearing == hosts)
        yield living
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_two_hosts_of_a_crowd_know_nothing_of_each_other(nats_url: str, number: int, tmp_path: Path) -> None:
    web = instance()
    async with crowd(nats_url, tmp_path, number, hosts=2), Ear(nats_url, number) as one, Ear(nats_url, number + 1) as two:
        assert (await one.ask(activate(web, 10, agent=number))).transitioning is None
        assert (await two.ask(activate(web, 20, agent=number + 1))).transitioning is None
        # The second's newer epoch is none of the first's.
        assert (await one.ask(deactivate(web, 15, agent=number))).transitioning is None
        await happens(lambda: two.presences and two.presences[-1].instances == {web["uuid"]: "running"})
        await happens(lambda: one.presences and one.presences[-1].instances == {})


async def test_what_ran_runs_on_when_the_crowd_comes_back(nats_url: str, number: int, tmp_path: Path) -> None:
    web = instance()
    async with Ear(nats_url, number) as ear:
        async with crowd(nats_url, tmp_path, number):
            await ear.ask(activate(web, 10, agent=number))
        ear.presences.clear()
        async with crowd(nats_url, tmp_path, number):
            await happens(lambda: ear.presences and ear.presences[-1].instances == {web["uuid"]: "running"})
            assert (await ear.ask(activate(web, 9, agent=number))).context == {"epoch": 9, "stale": True}


async def test_a_failure_a_lost_answer_and_one_that_comes_twice(nats_url: str, number: int, tmp_path: Path) -> None:
    rules = (
        Rule(fault="fail", command="compute.instance.activate", message="out of sorts"),
        Rule(fault="duplicate", command="compute.instance.deactivate"),
    )
    async with crowd(nats_url, tmp_path, number, *rules) as living, Ear(nats_url, number) as ear:
        failed = await ear.ask(activate(instance(), 10, agent=number))
        assert (failed.transitioning, failed.transitioningMessage) == ("error", "Failing [compute.instance.activate]: out of sorts")
        await ear.ask(deactivate(instance(), 20, agent=number))
        await happens(lambda: len(ear.heard) >= 3)
        assert living.faults == {"fail": 1, "duplicate": 1}


async def test_a_host_dies_in_the_middle_of_a_command_and_does_it_when_it_is_back(nats_url: str, number: int, tmp_path: Path) -> None:
    web = instance()
    rule = Rule(fault="die", command="compute.instance.activate", chance=0.5, seconds=(0.2, 0.2))
    async with crowd(nats_url, tmp_path, number, rule) as living, Ear(nats_url, number) as ear:

        def is_answered(ask: Message) -> bool:
            return any(ask.id in (each.previousIds or ()) for each in ear.heard)

        epoch, ask = 10, activate(web, 10, agent=number)
        while not living.faults["die"]:
            epoch, ask = epoch + 1, activate(web, epoch + 1, agent=number)
            await ear.send(ask)
            await happens(partial(lambda each: living.faults["die"] or is_answered(each), ask))
        await happens(lambda: living.away == 0 and living.hearing == 1)
        for _ in range(20):  # it may die again: it is asked as an engine asks
            await ear.send(ask)
            with suppress(TimeoutError):
                await happens(lambda: is_answered(ask), 1.0)
                break
        assert is_answered(ask)


async def test_what_is_forgotten_ends_without_a_word(nats_url: str, number: int, tmp_path: Path) -> None:
    web = instance()
    rule = Rule(fault="forget", command="compute.instance.activate", seconds=(0.3, 0.3))
    async with crowd(nats_url, tmp_path, number, rule), Ear(nats_url, number) as ear:
        await ear.ask(activate(web, 10, agent=number))
        ear.presences.clear()
        await happens(lambda: ear.presences and ear.presences[-1].instances == {})


def test_a_part_of_a_ledger_is_as_good_as_a_whole_one(tmp_path: Path) -> None:
    whole = Ledger(tmp_path)
    whole.open()
    one, two = Part(whole, "one"), Part(whole, "two")
    assert one.accept([Arrival("a", ("it",), 5)]) == [Fresh()]
    assert one.accept([Arrival("b", ("it",), 4)]) == [Behind("it", 5)]
    assert two.accept([Arrival("c", ("it",), 4)]) == [Fresh()]
    two.learn({"it": 9})
    two.remember("name", "second")
    assert (one.newest("it"), two.newest("it")) == (5, 9)
    assert (one.fact("name"), two.fact("name")) == (None, "second")
    one.close()
    assert two.newest("it") == 9, "who shares it closes it"
    whole.close()


@pytest.mark.timeout(120)
async def test_a_host_that_died_by_the_clock_comes_back(nats_url: str, number: int, tmp_path: Path) -> None:
    rule = Rule(fault="die", per="cluster", every=1.0, seconds=(0.2, 0.2))
    async with crowd(nats_url, tmp_path, number, rule, hosts=3) as living:
        await happens(lambda: living.faults["die"] >= 3)
        await happens(lambda: living.hearing == 3)


async def test_a_crowd_stops_a_few_hosts_at_a_time(nats_url: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, none of thousands would be closed in the time that its connection has for that."""
    monkeypatch.setattr(module, "STOPPING", 2)
    at_work: list[int] = []
    stopped: list[str] = []
    stop, under_way = CrowdHost.stop, set[str]()

    async def watched(host: CrowdHost) -> None:
        under_way.add(host.uuid)
        at_work.append(len(under_way))
        await stop(host)
        under_way.discard(host.uuid)
        stopped.append(host.uuid)

    monkeypatch.setattr(CrowdHost, "stop", watched)
    async with crowd(nats_url, tmp_path, number, hosts=7) as living:
        assert living.hearing == 7
    assert (max(at_work), sorted(stopped)) == (2, [living.uuid(index) for index in range(7)])
    assert living.hearing == 0


async def test_where_one_host_can_not_begin_the_others_end(
    nats_url: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTING", 2)
    start = CrowdHost.start

    async def fail_third(host: CrowdHost, *given: Any) -> None:
        if host.uuid == "paper-2":
            raise OSError("no room on the disk")
        await start(host, *given)

    monkeypatch.setattr(CrowdHost, "start", fail_third)
    living = Crowd(CrowdOptions("", tmp_path, 9, heartbeat_seconds=0.1))
    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="no room"):
        await living.live([Place(number + index, nats_url, created=False) for index in range(9)])
    begun = len(living.hosts)
    assert begun < 9
    assert living.hearing == 0
    await happens(lambda: asyncio.all_tasks() <= before)
    assert len(living.hosts) == begun, "none begins after the end"
