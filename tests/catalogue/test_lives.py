"""Every type that can be created lives its whole life on the real write side: each process from each state in which it may start.

Where each leads is Cattle's to say (tests/catalogue/facts), not the catalogue's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from commands import events
from commands.catalogue.builtin import CATALOGUE
from commands.resource import Resource
from commands.turns.decide import Run, Update
from eventstore import Recorded
from tests.catalogue import facts
from tests.support.story import Story, a_cloud

TYPES, PROCESSES = facts.types(), facts.processes()

CREATEABLE = [
    name
    for name, kind in CATALOGUE.types.items()
    if "POST" in kind.admin.collection and kind.stored and CATALOGUE.process_of(name, "create") is not None
]

ANOTHER = {"imageId": 1, "accountId": 1}

GIVEN: dict[str, dict[str, Any]] = {
    "container": {**ANOTHER, "networkIds": [1], "ports": ["8081:80"], "instanceLinks": {"db": 1}, "credentialIds": [1]},
    "virtualMachine": {**ANOTHER, "networkIds": [1]},
    "credentialInstanceMap": {"instanceId": 1, "credentialId": 2},
    "externalHandler": {"name": "demo", "processNames": ["pre.image.create"]},
    "externalHandlerProcess": {"name": "pre.image.create"},
    "externalHandlerExternalHandlerProcessMap": {"externalHandlerId": 1, "externalHandlerProcessId": 1},
    "host": {"agentId": 1, "physicalHostId": 1},
    "hostIpAddressMap": {"hostId": 1, "ipAddressId": 1},
    "hostVnetMap": {"hostId": 1, "vnetId": 1},
    "imageStoragePoolMap": {"imageId": 2, "storagePoolId": 1},
    "instanceHostMap": {"hostId": 1, "instanceId": 2},
    "instanceLink": {"instanceId": 2, "targetInstanceId": 1, "linkName": "other"},
    "ipAddress": {"subnetId": 1, "accountId": 1},
    "ipAddressNicMap": {"ipAddressId": 1, "nicId": 1},
    "ipAssociation": {"ipAddressId": 2, "childIpAddressId": 1},
    "networkServiceProviderInstanceMap": {"instanceId": 1, "networkServiceProviderId": 1},
    "nic": {"instanceId": 2, "networkId": 1, "subnetId": 1, "deviceNumber": 0},
    "port": {"instanceId": 2, "privatePort": 80},
    "register": {"key": "mine", "accountId": 1},
    "storagePool": {"agentId": 1},
    "storagePoolHostMap": {"hostId": 1, "storagePoolId": 1},
    "subnet": {"networkId": 1, "networkAddress": "10.1.0.0"},
    "subnetIpPool": {"networkAddress": "10.2.0.0"},
    "subnetVnetMap": {"subnetId": 1, "vnetId": 1},
    "vnet": {"networkId": 1, "uri": "bridge://x"},
    "volumeStoragePoolMap": {"storagePoolId": 1, "volumeId": 2},
}
"""What a row of a type is created with, so that all it does concerns something that is there."""

WITHOUT_A_PROCESS = {"container.console", "virtualMachine.console", "ipPool.acquire", "subnetIpPool.acquire", "register.stop"}
"""Actions that are answered at once; the last one is in the schema alone, and never offered."""

FOLLOWED: dict[str, list[str]] = {"instance.restart": ["instance.stop", "instance.start"]}
"""What a process hands over to in its via state, beside its delegate."""


def a_furnished_cloud() -> Story:
    """One of everything that another type's row may refer to; instance 1 runs on network 1, instance 2 was never started."""
    story = a_cloud()
    story.create("image", uuid="sim:other", format="sim", isPublic=True, accountId=1, kind="sim")
    story.create("network", accountId=1)
    story.create("subnet", networkId=1, networkAddress="10.0.0.0", accountId=1)
    story.create("vnet", networkId=1, accountId=1)
    story.create("networkServiceProvider", networkId=1, accountId=1)
    story.create("externalHandlerProcess", name="pre.task.execute")
    story.create("externalHandler", name="nobody", processNames=[])
    story.create("container", **ANOTHER, networkIds=[1], ports=["80"])
    story.answer_all()
    story.create("container", **ANOTHER, startOnCreate=False)
    story.create("ipAddress", accountId=1)
    story.answer_all()
    assert story.resource("instance-1").state == "running"
    return story


# --- what Cattle says ---


def lines(process: str, word: str) -> list[str]:
    return [line.partition(" ")[2] for line in PROCESSES[process] if line.startswith(f"{word} ")]


def path(process: str, state: str) -> list[str]:
    """The states that a process goes through from one in which it may start, to the one in which it comes to rest."""
    _, via, done = next(words for words in (each.split(">") for each in lines(process, "arrow")) if words[0] == state)
    followers = FOLLOWED.get(process) or [each for each in lines(process, "delegate") if goes_on(process)]
    found = [state, via, done]
    for follower in followers:
        # A follower's via state comes straight after ours, though its start states are Cattle's for what rests.
        after = lines(follower, "arrow")[0].split(">")
        found = [*found[:-1], after[1], after[2]]
    return found


def goes_on(process: str) -> bool:
    """A create whose type is activated by default, and an instance's, which starts."""
    return process == "instance.create" or "post 2000 ActivateByDefault" in lines(process, "logic")


def starts(process: str) -> set[str]:
    return {each.partition(">")[0] for each in lines(process, "arrow")}


# --- what happened ---


def states_in(log: list[Recorded], stream: str, state_field: str) -> list[str]:
    """Those that a resource went through, as its events tell."""
    found: list[str] = []
    for event in log:
        if event.stream != stream or event.data.get("field") != state_field:
            continue
        match event.type:
            case events.PROCESS_STARTED:
                steps = [event.data["from"], event.data["via"]]
            case events.TRANSITIONED:
                steps = [event.data["from"], *event.data["via"], event.data["to"]]
            case _:
                steps = [event.data["to"]] if "to" in event.data else []
        found += steps[1:] if found and steps and found[-1] == steps[0] else steps
    return found


Node = tuple[str, ...]
"""The values of a resource's state fields."""


@dataclass
class Life:
    """A resource that goes wherever it has not been."""

    type_name: str
    story: Story
    stream: str
    ways: dict[Node, dict[str, Node]] = field(default_factory=dict)
    """Node -> process -> where that led."""

    @property
    def fields(self) -> tuple[str, ...]:
        return CATALOGUE.state_fields(self.resource.type)

    @property
    def resource(self) -> Resource:
        return self.story.resource(self.stream)

    @property
    def node(self) -> Node:
        return tuple(str(self.resource.row[name]) for name in self.fields)

    def run(self, process: str) -> None:
        before, first = self.node, len(self.story.log)
        state_field = lines(process, "field")[0]
        expected = path(process, before[self.fields.index(state_field)])
        self.story.command(self.stream, Run(process.partition(".")[2]))
        self.story.answer_all()
        went = states_in(self.story.log[first:], self.stream, state_field)
        assert went == expected, f"{process} from {before} of {self.type_name}: {self.resource.row}"
        assert not self.resource.open
        self.ways.setdefault(before, {})[process] = self.node

    def explore(self) -> None:
        """Every process from every node; each step is one that is new, or leads to one."""
        for _ in range(200):
            following = self._untried(self.node) or self._way_to(lambda node: bool(self._untried(node)))
            if not following:
                return
            self.run(following[0])
        raise AssertionError(f"{self.type_name} never comes to an end: {self.ways}")

    def end(self) -> None:
        while self.node[self.fields.index("state")] != "removed":
            self.run(self._way_to(lambda node: node[self.fields.index("state")] == "removed")[0])
        self.run(f"{self.resource.type.lower()}.purge")

    def _untried(self, node: Node) -> list[str]:
        """The processes that Cattle allows there; never the one that ends it all."""
        now = dict(zip(self.fields, node, strict=True))
        root = self.resource.type.lower()
        return [
            name for name in PROCESSES
            if name.startswith(f"{root}.") and not name.endswith(".purge") and name not in self.ways.get(node, {})
            and now[lines(name, "field")[0]] in starts(name)
        ]  # fmt: skip

    def _way_to(self, wanted: Callable[[Node], bool]) -> list[str]:
        """The processes that lead to the nearest node of this kind, along ways that are known."""
        todo: deque[tuple[Node, list[str]]] = deque([(self.node, [])])
        seen = {self.node}
        while todo:
            node, way = todo.popleft()
            if way and wanted(node):
                return way
            for process, to in self.ways.get(node, {}).items():
                if to not in seen:
                    seen.add(to)
                    todo.append((to, [*way, process]))
        return []


@pytest.mark.parametrize("type_name", CREATEABLE)
def test_a_whole_life_is_as_cattle_says_it_is(type_name: str) -> None:
    kind = CATALOGUE.type(type_name)
    story = a_furnished_cloud()
    first = len(story.log)
    given = GIVEN.get(type_name) or ({"networkId": 1} if "networkId" in kind.fields and kind.fields["networkId"].required else {})
    life = Life(type_name, story, story.create(type_name, kind=type_name, **given).stream)
    story.answer_all()
    root = life.resource.type.lower()
    assert states_in(story.log[first:], life.stream, "state") == path(f"{root}.create", "requested")
    life.explore()
    tried = {process.partition(".")[2] for ways in life.ways.values() for process in ways}
    every = {name.partition(".")[2] for name in PROCESSES if name.startswith(f"{root}.")} - {"create", "purge"}
    assert tried == every
    actions = {line.split()[1] for line in TYPES[type_name] if line.startswith("action ")}
    assert {each for each in actions if f"{type_name}.{each}" not in WITHOUT_A_PROCESS} <= tried | {"create", "purge"}
    story.command(life.stream, Update({"description": "at the end"}))
    assert life.resource.row["description"] == "at the end"
    life.end()
    assert life.resource.state == "purged"
    story.pass_time(3600)  # so long, and what was removed with it is purged
    story.answer_all()
    mine = {each.stream for each in story.resources().values() if life.stream in (each.stream, each.root)}
    owned = {f"{each.type}.uuid" for each in story.resources().values() if each.root == life.stream and each.state != "purged"}
    assert {scope for (scope, _), holder in story.claims().items() if holder in mine} <= owned


@pytest.mark.parametrize(
    ("process", "wrong"),
    [
        ("image.deactivate", {"arrow active>deactivating>removed"}),
        ("image.create", {"logic pre 1000 NothingElse"}),
        ("image.restore", {"arrow removed>restoring>active"}),
    ],
)
def test_a_life_that_is_otherwise_is_seen(process: str, wrong: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    verbs = {line.partition(" ")[0] for line in wrong}
    kept = {line for line in PROCESSES[process] if line.partition(" ")[0] not in verbs}
    monkeypatch.setitem(PROCESSES, process, frozenset(kept | wrong))
    with pytest.raises(AssertionError):
        test_a_whole_life_is_as_cattle_says_it_is("image")
