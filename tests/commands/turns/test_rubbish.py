"""Whatever a row holds: what Corral keeps is not written from outside, and every way to a thing's end leads there, with no claim left."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commands import events
from commands.catalogue.kept import KEPT
from commands.errors import Refused
from commands.logic import docker
from commands.turns.decide import Command, Delete, Run
from commands.turns.interventions import Cancel, ForceRemove
from commands.turns.turn import Turn
from eventstore.memory import MemoryStore
from tests.support.cloud import a_running_cloud
from tests.support.story import Story, furnished


class Spoilt(Story):
    """Its turns are those that an engine takes after a root's turns broke again and again."""

    last_resort = True

    def spoil(self, stream: str, changes: dict[str, Any]) -> None:
        """The log holds something about a row that nothing would write today."""
        turn = self.turn(self.resource(stream).root, {stream: self.resource(stream)})
        turn.emit(stream, events.UPDATED, {"changes": changes})
        self._append(turn)

    def send(self) -> None:
        """What is asked can be sent: its payload is built."""
        for ask in self.asks():
            found = self.catalogue.asks(self.resource(ask.stream).type, ask.command)
            assert found is not None
            turn = self.turn(ask.root, {each.stream: each for each in self.resources().values() if each.root == ask.root})
            assert isinstance(found[1].payload(turn, turn.resources[ask.stream]), dict)


KEYS = sorted({key for keys in KEPT.values() for key in keys})
FIELDS = [
    "networkIds", "ports", "credentialIds", "validHostIds", "requestedHostId", "instanceLinks", "vnetIds", "subnetIds", "dockerPorts",
    "dockerIp", "dockerHostIp", "environment", "startOnCreate", "publicIpAddressPoolId", "macPrefix", "processNames", "primaryIpAddress",
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-5, 2**64) | st.text(max_size=4) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2))
RUBBISH = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(KEYS, VALUES),
        "linkWaitTime": VALUES,
        "io.cattle.platform.process.instance.InstanceStart": VALUES,
        "fields": st.one_of(VALUES, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)),
    },
)
ENDINGS: list[Command] = [Delete(), Run("stop"), Run("deactivate"), Cancel(), ForceRemove()]


def story_of(moment: int) -> Spoilt:
    """A container with a port, a nic with an address, and a link, as far as so many answers take its start."""
    story = furnished(Spoilt())
    story.create("network", accountId=1)
    story.create("subnet", networkId=1, networkAddress="10.0.0.0", accountId=1)
    story.create(
        "container", imageId=1, accountId=1, networkIds=[1], ports=["8080:80"], instanceLinks={"db": None}, requestedHostId=1
    )
    for _ in range(moment):
        if asks := story.asks():
            story.answer(asks[0])
    return story


@settings(max_examples=40, phases=[Phase.reuse, Phase.generate])  # a whole life is long, and to shrink what fails would take minutes
@given(moment=st.integers(0, 4), rubbish=st.lists(st.tuples(st.integers(0, 9), RUBBISH), max_size=4), ending=st.sampled_from(ENDINGS))
def test_whatever_a_row_holds_it_can_be_ended_and_leaves_no_claim(
    moment: int, rubbish: list[tuple[int, dict[str, Any]]], ending: Command
) -> None:
    story = story_of(moment)
    mine = sorted(each.stream for each in story.resources().values() if each.root == "instance-1")
    for number, data in rubbish:
        story.spoil(mine[number % len(mine)], {"+data": data})
    with suppress(Refused):
        story.command("instance-1", ending)
    for command in (None, Delete(), None, Delete(), ForceRemove(), None, None):
        if command is not None:
            with suppress(Refused):
                story.command("instance-1", command)
        story.send()
        story.answer_all()
        story.pass_time(100_000)
    assert story.resource("instance-1").state == "purged"
    left = {key: holder for key, holder in story.claims().items() if story.resource(holder).root == "instance-1"}
    unpurged = {each.stream for each in story.resources().values() if each.root == "instance-1" and each.state != "purged"}
    assert {key: holder for key, holder in left.items() if holder not in unpurged} == {}
    assert not [key for key in left if "/" in key[0]], "what others want is free again"


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        ("instance-1", {"hostPorts": []}), ("instance-1", {"hostPorts": 5}), ("instanceHostMap-1", {"deallocated": True}),
        ("nic-1", {"leased": None}), ("ipAddress-1", {"leased": [7, "x"]}),
    ],
)  # fmt: skip
def test_what_a_row_notes_of_its_claims_decides_nothing(stream: str, data: dict[str, Any]) -> None:
    story = story_of(9)
    assert story.resource("instance-1").state == "running"
    story.spoil(stream, {"+data": data})
    story.command("instance-1", Delete())
    story.answer_all()
    for _ in range(3):
        story.pass_time(100_000)
        story.answer_all()
    assert story.resource("instance-1").state == "purged"
    assert not [key for key in story.claims() if key[0].startswith(("host-1/", "subnet-1/", "network-1/mac"))]


def test_an_answer_that_replaces_the_data_leaves_what_corral_keeps_there() -> None:
    story = story_of(0)
    while (ask := story.asks()[0]).command != "compute.instance.activate":
        story.answer(ask)
    story.spoil("instance-1", {"+data": {"metadataAttach": True}})
    story.answer(ask, {"instance": {"data": {"mine": 1, "hostPorts": [[1, "1/tcp"]]}, "+data": {"+hostPorts": {"a": 1}}}})
    data = story.resource("instance-1").row["data"]
    assert (data["mine"], data["hostPorts"], data["metadataAttach"]) == (1, [[1, "8080/tcp"]], True)


def test_no_answer_moves_a_state() -> None:
    story = story_of(0)
    while (ask := story.asks()[0]).command != "compute.instance.activate":
        story.answer(ask)
    before = story.resource("instance-1").row["created"]
    story.answer(ask, {"instance": {"allocationState": "banana", "created": "2001-01-01", "host": {"state": "gone"}}})
    row = story.resource("instance-1").row
    assert (row["allocationState"], row["created"]) == ("active", before)


async def test_a_turn_that_breaks_again_and_again_fails_its_process_and_says_why(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(turn: Turn, instance: Any) -> None:
        raise KeyError("rubbish")

    monkeypatch.setattr(docker, "_image_ports", breaks)
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "removed", "purged", seconds=90)
        errors = [event.data["error"] for event in await cloud.store.read_all() if event.type == "process-failed"]
        assert any("can't go on with what" in each and "KeyError: 'rubbish'" in each for each in errors)
