"""The simulated driver: what Cattle's users know of its simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agents.driver import DriverError
from agents.simulated import SETTINGS_KEY, Shape, SimulatedDriver, shape_of
from agents.wire import Message
from tests.agents.orders import Json, activate, command, deactivate, in_pool, instance, on_host, purge


def quiet(message: str, percent: int | None) -> None:
    """Nobody listens to its progress."""


@pytest.fixture
async def driver(tmp_path: Path) -> SimulatedDriver:
    driver = SimulatedDriver("agent1")
    await driver.open(tmp_path)
    return driver


@pytest.fixture(autouse=True)
async def closed(driver: SimulatedDriver) -> object:
    yield
    await driver.close()


async def test_only_the_named_event_fails(driver: SimulatedDriver) -> None:
    tree = instance()
    tree["data"]["compute.instance.activate::fail"] = True
    with pytest.raises(DriverError, match=r"Failing \[compute.instance.activate\]"):
        await driver.carry_out(activate(tree), quiet)
    assert await driver.carry_out(deactivate(tree), quiet) == {}
    assert driver.boxes() == {}


async def test_it_reports_pools_then_hosts_then_its_physical_host(driver: SimulatedDriver) -> None:
    assert [(each["type"], each["uuid"]) for each in await driver.resources({})] == [
        ("storagePool", "agent1-0-0"),
        ("host", "agent1-0"),
        ("physicalHost", "agent1-physical-host"),
    ]


async def test_its_hosts_are_called_as_people_call_it() -> None:
    named = await SimulatedDriver("agent1", name="rack-1").resources({})
    assert {each["name"] for each in named if each["type"] == "host"} == {"rack-1"}


async def test_counts_come_from_the_agents_data_of_the_ping(driver: SimulatedDriver) -> None:
    settings = {"hosts": 2, "storagePoolsPerHost": 2, "addPhysicalHost": False}
    told = await driver.resources({"agent": {"data": {SETTINGS_KEY: settings}}})
    assert [each["uuid"] for each in told] == ["agent1-0-0", "agent1-0-1", "agent1-1-0", "agent1-1-1", "agent1-0", "agent1-1"]
    assert all("physicalHostUuid" not in each for each in told)


def test_counts_that_are_none_have_their_defaults() -> None:
    assert shape_of({SETTINGS_KEY: {"hosts": "many", "storagePoolsPerHost": -1}}) == Shape()


async def test_a_ping_can_fail_too(driver: SimulatedDriver) -> None:
    with pytest.raises(DriverError, match=r"Failing \[ping\]"):
        await driver.resources({"agent": {"data": {"ping::fail": True}}})


async def test_it_forgets_at_once_or_later_but_keeps_running_them(driver: SimulatedDriver) -> None:
    now, later, kept = instance(simForgetImmediately=True), instance(command=["simShutdownAfter", "1"]), instance()
    for each in (now, later, kept):
        await driver.carry_out(activate(each), quiet)
    assert set(await driver.instances()) == {later["uuid"], kept["uuid"]}
    await asyncio.sleep(1.1)
    assert set(await driver.instances()) == {kept["uuid"]}
    assert driver.boxes()[now["uuid"]].state == "running"


async def test_it_is_idempotent_and_counts_what_it_creates(driver: SimulatedDriver) -> None:
    web = instance()
    for sent in (deactivate(web), purge(web), activate(web), activate(web), deactivate(web), deactivate(web), activate(web)):
        assert await driver.carry_out(sent, quiet) == {}
    assert driver.boxes()[web["uuid"]].created == 1
    await driver.carry_out(purge(web), quiet)
    assert await driver.instances() == {}
    await driver.carry_out(activate(web, 50), quiet)
    assert (driver.boxes()[web["uuid"]].created, driver.boxes()[web["uuid"]].epoch) == (2, 50)


async def test_any_other_event_is_an_empty_success_and_a_console_is_fake(driver: SimulatedDriver) -> None:
    assert await driver.carry_out(command("storage.image.activate", in_pool("sim:foo")), quiet) == {}
    assert await driver.carry_out(command("something.else", {}), quiet) == {}
    assert (await driver.carry_out(command("console.access", on_host(instance())), quiet))["kind"] == "fake"


async def test_a_delegated_event_runs_on_a_simulator_of_that_agent(driver: SimulatedDriver) -> None:
    web = instance()

    async def delegated(inner: Message) -> Message:
        data: Json = {"instanceData": {"agentId": 44}, "event": inner.document()}
        return Message.read(await driver.carry_out(command("delegate.request", data), quiet))

    answer = await delegated(activate(web, id_="inner"))
    assert (answer.previousIds, answer.transitioning) == (["inner"], None)
    ping = command("ping", {"options": {"resources": True, "instances": True}})
    assert (await delegated(ping)).data == {"resources": [], "options": {"resources": True, "instances": True}}
    assert driver.boxes() == {}
    assert await driver.instances() == {}


async def test_what_runs_outlives_it(driver: SimulatedDriver, tmp_path: Path) -> None:
    web = instance()
    await driver.carry_out(activate(web), quiet)
    await driver.close()
    again = SimulatedDriver("agent1")
    await again.open(tmp_path)
    assert set(await again.instances()) == {web["uuid"]}
    await again.close()
