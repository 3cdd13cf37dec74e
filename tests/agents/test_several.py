"""One agent with several drivers: whose a command is, and what they tell together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.driver import DriverError, Held, LiveRefused, Report, UnknownCommand
from agents.live import Question
from agents.several import SeveralDrivers
from agents.wire import Message
from tests.agents.orders import command

Json = dict[str, Any]


class Engine:
    """A driver of a kind that holds one instance."""

    def __init__(self, kind: str, away: bool = False) -> None:
        self.kind, self.away = kind, away
        self.heard: list[str] = []

    async def open(self, folder: Path) -> None:
        self.heard.append("open")

    async def close(self) -> None:
        self.heard.append("close")

    async def carry_out(self, request: Message, report: Report) -> Json:
        self.heard.append(request.name)
        return {"by": self.kind}

    async def instances(self) -> dict[str, str]:
        self._look()
        return {f"box of {self.kind}": "running"}

    async def epochs(self) -> Mapping[str, int]:
        self._look()
        return {f"box of {self.kind}": 7}

    async def resources(self, ping: Json) -> list[Json]:
        self._look()
        own, physical = f"{self.kind}-host", f"{self.kind}-machine"
        return [
            {"type": "physicalHost", "uuid": physical},
            {"type": "host", "kind": self.kind, "uuid": own, "physicalHostUuid": physical},
            {"type": "storagePool", "kind": self.kind, "uuid": f"{own}-pool", "hostUuid": own},
        ]

    def _look(self) -> None:
        if self.away:
            raise DriverError(f"{self.kind} is away")


def about(kind: str) -> list[tuple[str, Json]]:
    return [
        ("compute.instance.activate", {"instanceHostMap": {"host": {"kind": kind}, "instance": {"uuid": "x", "kind": "container"}}}),
        ("storage.volume.remove", {"volumeStoragePoolMap": {"storagePool": {"kind": kind}, "volume": {"uuid": "v"}}}),
        ("storage.image.activate", {"imageStoragePoolMap": {"storagePool": {"kind": kind}, "image": {"uuid": "i", "kind": "other"}}}),
        ("console.access", {"host": {"kind": kind}, "instance": {"uuid": "x"}, "kind": None}),
    ]


@pytest.mark.parametrize("kind", ["docker", "libvirt"])
async def test_a_command_goes_to_the_driver_of_its_host_or_pool(kind: str) -> None:
    drivers = {each: Engine(each) for each in ("docker", "libvirt")}
    several = SeveralDrivers(list(drivers.values()))
    for name, data in about(kind):
        assert await several.carry_out(command(name, data), lambda text, percent: None) == {"by": kind}
    assert drivers[kind].heard == [name for name, _ in about(kind)]


async def test_a_command_for_another_kind_is_refused() -> None:
    several = SeveralDrivers([Engine("docker"), Engine("libvirt")])
    with pytest.raises(DriverError, match="is about a host of kind sim, and this agent has docker and libvirt"):
        await several.carry_out(command(*about("sim")[0]), lambda text, percent: None)
    with pytest.raises(DriverError, match="is about no host"):
        await several.carry_out(command("compute.instance.activate", {}), lambda text, percent: None)


async def test_what_they_hold_is_told_together_or_not_at_all() -> None:
    docker, libvirt = Engine("docker"), Engine("libvirt")
    several = SeveralDrivers([docker, libvirt])
    assert await several.instances() == {"box of docker": "running", "box of libvirt": "running"}
    assert await several.epochs() == {"box of docker": 7, "box of libvirt": 7}
    libvirt.away = True
    for look in (several.instances, several.epochs):
        with pytest.raises(DriverError, match="libvirt is away"):
            await look()


async def test_both_hosts_are_on_one_machine_and_one_that_is_away_hides_no_other() -> None:
    docker, libvirt = Engine("docker"), Engine("libvirt")
    several = SeveralDrivers([docker, libvirt])
    told = await several.resources({})
    assert [each["uuid"] for each in told if each["type"] == "physicalHost"] == ["docker-machine"]
    assert {each["uuid"]: each["physicalHostUuid"] for each in told if each["type"] == "host"} == {
        "docker-host": "docker-machine", "libvirt-host": "docker-machine",
    }  # fmt: skip
    libvirt.away = True
    assert [each["uuid"] for each in await several.resources({}) if each["type"] == "host"] == ["docker-host"]
    docker.away = True
    with pytest.raises(DriverError, match="is away"):
        await several.resources({})


async def test_they_are_opened_and_closed_together(tmp_path: Path) -> None:
    engines = [Engine("docker"), Engine("libvirt")]
    several = SeveralDrivers(engines)
    assert several.kind == "docker+libvirt"
    await several.open(tmp_path)
    await several.close()
    assert [each.heard for each in engines] == [["open", "close"]] * 2


class Able(Engine):
    """One with all abilities."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.version: str | None = "v1"

    async def held(self) -> Mapping[str, Held]:
        self._look()
        return {f"box of {self.kind}": Held("running", 9, "cloud1", self.kind)}

    def live_verbs(self, question: Question) -> frozenset[str]:
        return frozenset({f"look at {self.kind}"})

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        yield {"by": self.kind, "given": [each async for each in given]}

    @property
    def networks_version(self) -> str | None:
        return self.version

    async def apply_networks(self, data: Json) -> Json:
        self.version = data["version"]
        return {"version": self.version, "trouble": {f"of {self.kind}": "broken"}}

    def copies(self, request: Message) -> int:
        return 2


def question(kind: str) -> Question:
    return Question(query="q", verb="look", instance={}, host={"kind": kind})


async def said(*pieces: Json) -> AsyncIterator[Json]:
    for each in pieces:
        yield each


async def test_what_is_held_says_on_which_kind_of_host_and_whose_it_is_where_its_driver_knows() -> None:
    several = SeveralDrivers([Able("docker"), Engine("libvirt")])
    assert await several.held() == {
        "box of docker": Held("running", 9, "cloud1", "docker"), "box of libvirt": Held("running", 7, None, "libvirt"),
    }  # fmt: skip


async def test_a_live_query_goes_to_the_driver_of_its_host() -> None:
    several = SeveralDrivers([Able("docker"), Able("libvirt"), Engine("dumb")])
    assert several.live_verbs(question("libvirt")) == {"look at libvirt"}
    assert [each async for each in several.live(question("docker"), said({"stdin": "x"}))] == [{"by": "docker", "given": [{"stdin": "x"}]}]
    for kind in ("dumb", "sim"):
        assert several.live_verbs(question(kind)) == frozenset()
        with pytest.raises(LiveRefused, match=f"kind {kind} answer nothing live"):
            await anext(several.live(question(kind), said()))


async def test_networks_are_told_to_all_that_take_part() -> None:
    docker, libvirt, apart = Able("docker"), Able("libvirt"), Able("apart")
    apart.version = None
    several = SeveralDrivers([docker, libvirt, apart, Engine("dumb")])
    libvirt.version = "v0"
    assert several.networks_version == "", "one has to be told again"
    answer = await several.apply_networks({"version": "v2"})
    assert answer == {"version": "v2", "trouble": {"of docker": "broken", "of libvirt": "broken"}}
    assert (several.networks_version, apart.version) == ("v2", None)


async def test_an_agent_none_of_whose_drivers_takes_part_in_networks_takes_part_in_none() -> None:
    several = SeveralDrivers([Engine("docker"), Engine("libvirt")])
    assert several.networks_version is None
    with pytest.raises(UnknownCommand):
        await several.apply_networks({"version": "v2"})


@pytest.mark.parametrize(("kind", "copies"), [("docker", 2), ("libvirt", 1), ("sim", 1)])
async def test_answers_get_lost_as_the_driver_says_whose_they_are(kind: str, copies: int) -> None:
    several = SeveralDrivers([Able("docker"), Engine("libvirt")])
    assert several.copies(command(*about(kind)[0])) == copies
