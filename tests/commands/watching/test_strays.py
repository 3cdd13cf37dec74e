"""Strays: instances on hosts where the log has no place for them. Told, stopped where they would run twice, removed where it is wished."""

from __future__ import annotations

from typing import Any

import pytest

from agents.wire import Message, Presence, presence_subject
from commands.cloud import cloud_of
from commands.watching import strays
from commands.watching.inventory import EVERY
from commands.watching.strays import REMOVE
from eventstore.memory import MemoryStore
from tests.support.cloud import Cloud, ScriptedAgent, a_running_cloud
from tests.support.story import sim_inventory
from tests.support.waiting import happens

OFTEN = {EVERY: 0.1}
UNKNOWN = "11111111-0000-4000-8000-000000000000"


class Machine:
    """What a cloud's agent has: told in its inventory, changed by what it is told to do."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.held: dict[str, dict[str, Any]] = {}
        self.told: list[Message] = []
        cloud.agent.behave = self.behave
        self.tell()

    @property
    def number(self) -> int:
        [agent] = self.cloud.engine.fleet.all("agent")
        return agent.id

    def has(self, uuid: str, state: str = "running", cloud: str | None = "mine", epoch: int = 1) -> None:
        whose = cloud_of(self.cloud.engine.fleet) if cloud == "mine" else cloud
        self.held[uuid] = {"type": "instance", "kind": "sim", "uuid": uuid, "state": state, "epoch": epoch, "cloud": whose}
        self.tell()

    def tell(self) -> None:
        known = sim_inventory(1)
        self.cloud.agent.inventory = {
            **known, "options": {"resources": True, "instances": True}, "resources": [*known["resources"], *self.held.values()],
        }  # fmt: skip

    async def behave(self, message: Message) -> Any:
        self.told.append(message)
        instance = (message.data.get("instanceHostMap") or {}).get("instance") or {}
        match message.name:
            case "compute.instance.activate":
                self.has(instance["uuid"], cloud=message.cloud, epoch=message.epoch)
            case "compute.instance.deactivate" if instance["uuid"] in self.held:
                self.held[instance["uuid"]]["state"] = "stopped"
            case "compute.instance.remove":
                self.held.pop(instance["uuid"], None)
            case "storage.volume.remove":
                self.held.pop(message.data["volumeStoragePoolMap"]["volume"]["instance"]["uuid"], None)
        self.tell()
        return {}

    async def looked(self, times: int = 3) -> None:
        """After so many inventories."""
        before = len(self.cloud.agent.commands("ping"))
        await happens(lambda: len(self.cloud.agent.commands("ping")) >= before + times, 60)

    def strays(self) -> dict[str, str]:
        return {each["uuid"]: each["what"] for each in self.cloud.engine.vitals()["strays"]}

    def commands(self, name: str) -> list[Message]:
        return [each for each in self.told if each.name == f"compute.instance.{name}"]


async def until_it_runs(cloud: Cloud) -> Any:
    created = await cloud.create("container", imageUuid="sim:x")
    return await cloud.until(created.stream, "running")


async def test_what_has_its_place_is_no_stray_and_every_command_says_whose_it_is(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        machine = Machine(cloud)
        running = await until_it_runs(cloud)
        await machine.looked()
        assert machine.strays() == {}
        [asked] = machine.commands("activate")
        assert asked.cloud == cloud_of(cloud.engine.fleet)
        assert asked.cloud is not None
        assert running.row["uuid"] in machine.held


async def test_what_the_log_does_not_know_is_told_and_left_alone_or_removed_where_that_is_wished(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        machine = Machine(cloud)
        machine.has(UNKNOWN)
        machine.has("of-another-cloud", cloud="theirs")
        machine.has("of-before-there-were-labels", cloud=None)
        await happens(lambda: UNKNOWN in machine.strays())
        assert machine.strays() == {UNKNOWN: "unknown", "of-before-there-were-labels": "unlabelled"}
        assert cloud.engine.load().strays == {"unknown": 1, "unlabelled": 1}
        await machine.looked()
        assert not machine.told
        cloud.settings[REMOVE] = True
        await happens(lambda: UNKNOWN not in machine.held)
        await machine.looked()
        assert {each.data["instanceHostMap"]["instance"]["uuid"] for each in machine.told} == {UNKNOWN}
        assert machine.strays() == {"of-before-there-were-labels": "unlabelled"}
        assert set(machine.held) == {"of-another-cloud", "of-before-there-were-labels"}


@pytest.mark.timeout(180)
async def test_of_many_strays_each_is_told_and_removed_though_a_few_are_looked_up_at_once(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "MOST_AT_ONCE", 2)
    many = {f"{number}1111111-0000-4000-8000-000000000000" for number in range(5)}
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        machine = Machine(cloud)
        for each in sorted(many):
            machine.has(each)
        await happens(lambda: set(machine.strays()) == many, 60)
        await machine.looked(4)
        assert set(machine.strays()) == many, "who was looked up once is not forgotten for the others"
        cloud.settings[REMOVE] = True
        await happens(lambda: not machine.held, 60)


async def test_what_is_removed_in_the_log_and_still_there_is_removed_where_that_is_wished(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        machine = Machine(cloud)
        running = await until_it_runs(cloud)
        uuid = running.row["uuid"]
        await cloud.commands.run("instance", running.id, "stop", {"remove": True}, cloud.actor)
        await cloud.until(running.stream, "removed")
        assert machine.held[uuid]["state"] == "stopped", "it may be restored until it is purged"
        await machine.looked()
        assert machine.strays() == {}
        machine.has(uuid)  # somebody starts it by hand
        await happens(lambda: machine.strays() == {uuid: "removed"})
        cloud.settings[REMOVE] = True
        await happens(lambda: uuid not in machine.held)
        await happens(lambda: not machine.strays())


async def test_what_an_old_start_left_on_a_host_that_comes_back_is_stopped_at_once(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings={EVERY: 0}) as cloud:
        machine = Machine(cloud)
        running = await until_it_runs(cloud)
        uuid = running.row["uuid"]
        [host] = cloud.engine.fleet.all("host")
        await cloud.commands.run("host", host.id, "deactivate", {}, cloud.actor)
        await cloud.until(host.stream, "inactive")
        await cloud.commands.delete("host", host.id, cloud.actor)  # an operator declares it dead
        await cloud.until(host.stream, "removed")
        await cloud.until(running.stream, "stopped", seconds=30)
        machine.has(uuid)  # and it was not
        beat = Presence(agent=machine.number, uuid="x", instances={uuid: "running"})
        await cloud.agent.nats.publish(presence_subject(machine.number), beat.encode())
        await happens(lambda: machine.held[uuid]["state"] == "stopped", 30)
        stop = machine.commands("deactivate")[-1]
        assert stop.epoch >= running.position
        assert (stop.context or {})["correlation"] == f"corral:stray-{uuid}"
        assert machine.strays() == {uuid: "left"}


async def test_what_is_on_its_way_out_is_no_stray(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        machine = Machine(cloud)
        running = await until_it_runs(cloud)

        async def silent(message: Message) -> None:
            """Answers nothing, and goes on running."""

        cloud.agent.behave = silent
        await cloud.commands.run("instance", running.id, "stop", {"remove": True}, cloud.actor)
        await machine.looked()
        assert machine.strays() == {}
        cloud.agent.behave = machine.behave
        await cloud.until(running.stream, "removed", seconds=30)
        await machine.looked()
        assert machine.strays() == {}


@pytest.mark.parametrize("options", [None, {"resources": True}, {"instances": False}])
async def test_an_agent_that_can_not_see_what_runs_has_no_strays(nats_url: str, options: dict[str, bool] | None) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        machine = Machine(cloud)
        machine.has(UNKNOWN)
        assert cloud.agent.inventory is not None
        cloud.agent.inventory["options"] = options
        await machine.looked()
        assert machine.strays() == {}


async def test_a_second_agent_at_one_engine_is_told_that_it_is_one(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        [first] = cloud.engine.fleet.all("agent")
        second = ScriptedAgent(cloud.agent.nats)
        second.inventory = sim_inventory(1)  # the same host
        created = await cloud.create("agent", uri="sim://", uuid="the second", name="second", managedConfig=False)
        await second.listen(created.id)
        await cloud.until(created.stream, "active")

        def warnings(agent: ScriptedAgent) -> set[str]:
            return {str((each.context or {}).get("warning") or "") for each in agent.commands("ping")[-1:]}

        await happens(lambda: any(first.name in each for each in warnings(second)))
        [warning] = warnings(second)
        assert "Agent second is at the engine of" in warning
        assert "point it at another engine" in warning
        assert warnings(cloud.agent) == {""}
        second.inventory = {"resources": []}  # it is pointed elsewhere
        await happens(lambda: warnings(second) == {""})
        await second.subscription.unsubscribe()
