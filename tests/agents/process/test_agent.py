"""The agent, over a real NATS: duplicates, lost replies, bad messages, heartbeats, and NATS going away."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import orjson
import pytest

from agents.driver import DriverError, Held
from agents.process.agent import Agent
from agents.process.ledger import LedgerInUse
from agents.simulated import Knobs, SimulatedDriver
from agents.wire import NETWORK_APPLY
from deploy.embedded import EmbeddedNats, hold
from tests.agents.conftest import StartSimulated
from tests.agents.orders import Ear, activate, command, deactivate, instance, on_host


async def test_a_command_is_carried_out_and_answered_on_its_reply_subject(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated()
    web = instance()
    sent = activate(web, agent=ear.agent)
    answer = await ear.ask(sent)
    assert answer.transitioning is None
    assert answer.name == sent.replyTo
    assert answer.previousNames == ["compute.instance.activate"]
    assert answer.epoch == 10
    assert await driver.instances() == {web["uuid"]: "running"}


async def test_who_takes_part_in_no_networks_says_so(start_simulated: StartSimulated, ear: Ear) -> None:
    await start_simulated()
    answer = await ear.ask(command(NETWORK_APPLY, {"version": "v1", "position": 1, "segments": []}, agent=ear.agent))
    assert answer.transitioning == "error"
    assert "do not know" in (answer.transitioningMessage or "")
    assert all(each.networks is None for each in ear.presences)


async def test_a_duplicate_is_answered_from_what_was_done(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated(Knobs(failures={"compute.instance.activate": 1}))
    web = instance()
    sent = activate(web, agent=ear.agent)
    first, second = await ear.ask(sent), await ear.ask(sent)
    # Were it tried again, the second would succeed: the knob fails only one.
    assert (first.transitioning, second.transitioning) == ("error", "error")
    assert first.id == second.id
    retried = await ear.ask(activate(web, 11, agent=ear.agent))
    assert retried.transitioning is None
    assert driver.boxes()[web["uuid"]].created == 1


async def test_a_command_sent_ten_times_while_it_runs_is_done_once_and_answered_once(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated(Knobs(delay={"compute.instance.activate": 0.3}, failures={}))
    web = instance()
    sent = activate(web, agent=ear.agent)
    for _ in range(10):
        await ear.send(sent)
        await asyncio.sleep(0.01)
    await ear.wait_for(sent.id)
    await asyncio.sleep(0.2)
    assert len(ear.finals(sent.id)) == 1
    assert driver.boxes()[web["uuid"]].created == 1


async def test_a_lost_answer_is_given_when_the_command_comes_again(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated(Knobs(lost={"compute.instance.activate": 1}))
    web = instance()
    sent = activate(web, agent=ear.agent)
    with pytest.raises(TimeoutError):
        await ear.ask(sent, seconds=0.3)
    assert (await ear.ask(sent)).transitioning is None
    assert driver.boxes()[web["uuid"]].created == 1


async def test_answers_that_come_twice_are_the_same_answer(start_simulated: StartSimulated, ear: Ear) -> None:
    await start_simulated(Knobs(copies={"compute.instance.activate": 2}))
    sent = activate(instance(), agent=ear.agent)
    await ear.send(sent)
    first, second = await ear.wait_for(sent.id, 2)
    assert first == second


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"not json", "is no command"),
        (b"[1,2]", "is no command"),
        (b'{"data": 7}', "data"),
        (b'{"name": "compute.instance.deactivate"}', "names another command"),
        (b'{"context": {"epoch": "soon"}}', "context.epoch"),
        (b'{"context": {"epoch": -1}}', "context.epoch"),
        (b'{"context": {"epoch": 9223372036854775808}}', "context.epoch"),
        (b'{"data": {}}', "data.instanceHostMap"),
        (b'{"data": {"instanceHostMap": {"instance": {"uuid": 3}}}}', "data.instanceHostMap.instance.uuid"),
    ],
)
async def test_a_bad_message_is_answered_with_what_is_wrong(start_simulated: StartSimulated, ear: Ear, payload: bytes, said: str) -> None:
    _, driver = await start_simulated()
    answer = await ear.send_raw("compute.instance.activate", payload)
    assert answer.transitioning == "error"
    assert said in str(answer.transitioningMessage)
    assert driver.boxes() == {}


async def test_the_reply_subject_must_be_one(start_simulated: StartSimulated, ear: Ear) -> None:
    await start_simulated()
    payload = orjson.dumps({"replyTo": "corral.>", "data": on_host(instance())})
    assert "replyTo" in str((await ear.send_raw("compute.instance.activate", payload)).transitioningMessage)


async def test_a_bare_nats_request_is_a_command_too(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated()
    web = instance()
    answer = await ear.send_raw("compute.instance.activate", orjson.dumps({"data": on_host(web)}))
    assert answer.transitioning is None
    assert await driver.instances() == {web["uuid"]: "running"}


async def test_a_broken_driver_is_an_error_reply(start_simulated: StartSimulated, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    _, driver = await start_simulated()

    async def breaks(*_: object) -> dict[str, object]:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(driver, "carry_out", breaks)
    answer = await ear.ask(activate(instance(), agent=ear.agent))
    assert answer.transitioning == "error"
    assert "by design" in str(answer.transitioningMessage)


async def test_heartbeats_tell_what_runs_and_come_on_demand(start_simulated: StartSimulated, ear: Ear) -> None:
    agent, _ = await start_simulated(heartbeat=60)
    first = await ear.wait_for_presence()
    assert (first.agent, first.uuid, first.instances, first.trouble) == (ear.agent, "agent1", {}, None)
    web = instance()
    await ear.ask(activate(web, agent=ear.agent))
    agent.announce()
    assert (await ear.wait_for_presence(2)).instances == {web["uuid"]: "running"}


async def test_what_can_not_be_seen_is_not_told_as_absent(
    start_simulated: StartSimulated, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, driver = await start_simulated(heartbeat=60)
    web = instance()
    await ear.ask(activate(web, agent=ear.agent))
    agent.announce()
    await ear.wait_for_presence(2)

    async def away() -> dict[str, Held]:
        raise DriverError("the engine is away")

    monkeypatch.setattr(driver, "held", away)
    agent.announce()
    beat = await ear.wait_for_presence(3)
    assert (beat.instances, beat.trouble) == ({web["uuid"]: "running"}, "the engine is away")
    ping = await ear.ask(command("ping", {"options": {"instances": True}}, agent=ear.agent))
    assert ping.data == {"options": {"instances": False}, "resources": [], "epochs": True}


async def test_nats_dies_while_a_command_runs_and_the_answer_comes_when_it_is_back(number: int, tmp_path: Path) -> None:
    with hold(tmp_path / "nats") as held:
        async with EmbeddedNats(held, preferred=0) as nats, Ear(nats.url, number) as ear:
            driver = SimulatedDriver("agent1", tmp_path / "agent", knobs=Knobs(delay={"compute.instance.activate": 0.5}))
            async with Agent(number, "agent1", driver, tmp_path / "agent", nats.url, heartbeat_seconds=0.5) as agent:
                await agent.ready.wait()
                web = instance()
                sent = activate(web, agent=number)
                await ear.send(sent)
                await asyncio.sleep(0.1)
                assert nats.pid is not None
                os.kill(nats.pid, signal.SIGKILL)
                answer = await ear.ask_until_answered(sent, seconds=30, resend=1.0)
                assert answer.transitioning is None
                beats = len(ear.presences)
                await ear.wait_for_presence(beats + 2)
                assert (await ear.ask(deactivate(web, agent=number))).transitioning is None
                assert driver.boxes()[web["uuid"]].created == 1


async def test_an_agent_starts_before_nats(number: int, tmp_path: Path) -> None:
    with hold(tmp_path / "nats") as held:
        async with EmbeddedNats(held, preferred=0) as nats:
            url, port = nats.url, nats.port
        driver = SimulatedDriver("agent1", tmp_path / "agent")
        async with Agent(number, "agent1", driver, tmp_path / "agent", url) as agent:
            await asyncio.sleep(0.5)
            assert not agent.ready.is_set()
            async with EmbeddedNats(held, port=port), Ear(url, number) as ear:
                await asyncio.wait_for(agent.ready.wait(), 15)
                assert (await ear.ask(activate(instance(), agent=number))).transitioning is None


async def test_an_agent_stops_while_nats_is_away(number: int, tmp_path: Path) -> None:
    agent = Agent(number, "agent1", SimulatedDriver("agent1", tmp_path), tmp_path, "nats://127.0.0.1:1")
    await agent.start()
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await agent.stop()
    assert time.monotonic() - began < 3


async def test_stopping_lets_what_is_under_way_end_and_leaves_no_task(start_simulated: StartSimulated, ear: Ear) -> None:
    before = asyncio.all_tasks()
    agent, driver = await start_simulated(Knobs(delay={"compute.instance.activate": 0.3}))
    sent = activate(instance(), agent=ear.agent)
    await ear.send(sent)
    await asyncio.sleep(0.1)
    await agent.stop()
    assert (await ear.wait_for(sent.id))[0].transitioning is None
    await asyncio.sleep(0.05)
    assert {task for task in asyncio.all_tasks() if not task.done()} <= before
    with pytest.raises(Exception, match="closed"):
        await driver.instances()


async def test_two_agents_can_not_share_a_folder(start_simulated: StartSimulated, nats_url: str, number: int, tmp_path: Path) -> None:
    await start_simulated()
    second = Agent(number, "agent1", SimulatedDriver("agent1", tmp_path / "agent"), tmp_path / "agent", nats_url)
    with pytest.raises(LedgerInUse, match="another agent is using"):
        await second.start()
