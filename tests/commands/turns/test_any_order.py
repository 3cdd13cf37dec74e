"""Whatever is commanded, answered, repeated, forgotten or restarted, in any order: everything comes to rest, and holds what it should."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.catalogue.builtin import CATALOGUE
from commands.errors import Refused
from commands.logic import ports
from commands.logic.placement import scope
from commands.resource import Resource, empty, evolve, fold_all
from commands.turns.claimed import leased
from commands.turns.decide import Command, Delete, Run, Update
from commands.turns.fleet import Fleet
from commands.turns.interventions import Cancel, ForceRemove, Retry
from commands.turns.turn import Triggers, Turn
from eventstore import Recorded
from tests.support.story import Ask, Story, sim_inventory

SLOTS = 3
HOSTS = 2

INSTANCE_COMMANDS: tuple[Command, ...] = (
    Run("start"), Run("stop"), Run("stop", {"deallocateFromHost": True}), Run("stop", {"remove": True}), Run("restart"), Delete(),
    Run("purge"), Run("restore"), Update({"name": "renamed"}), Run("update"), Retry(), Cancel(), ForceRemove(),
)
OTHER_COMMANDS: tuple[Command, ...] = (
    Run("activate"), Run("deactivate"), Delete(), Run("purge"), Run("restore"), Run("update"), Run("reconnect"), Run("disassociate"),
    Retry(), Cancel(),
)
OTHERS = (
    "volume", "volumeStoragePoolMap", "instanceHostMap", "imageStoragePoolMap", "image", "agent",
    "nic", "ipAddress", "ipAddressNicMap", "ipAssociation", "port", "instanceLink",
    "network", "subnet", "vnet", "hostVnetMap", "subnetVnetMap", "networkServiceProviderInstanceMap",
)  # fmt: skip

number = st.integers(0, 7)
Step = tuple[str, int, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), number, number),
        st.tuples(st.just("instance"), number, st.integers(0, len(INSTANCE_COMMANDS) - 1)),
        st.tuples(st.just("instance"), number, st.integers(0, len(INSTANCE_COMMANDS) - 1)),
        st.tuples(st.just("other"), st.integers(0, 80), st.integers(0, len(OTHER_COMMANDS) - 1)),
        st.tuples(st.just("answer"), number, number),
        st.tuples(st.just("answer"), number, number),
        st.tuples(st.just("answer"), number, number),
        st.tuples(st.just("error"), number, number),
        st.tuples(st.just("repeat"), number, st.integers(0, 1)),
        st.tuples(st.just("silence"), number, number),
        st.tuples(st.just("time"), st.sampled_from((1, 20, 61)), number),
        st.tuples(st.just("restart"), number, number),
    ),
    min_size=10, max_size=60,
)


class Checked(Story):
    """A story that keeps the claims as the store does, and holds every append against what its turn believed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held: dict[tuple[str, str], str] = {}
        self._folded: dict[str, Resource] = {}

    def resources(self) -> dict[str, Resource]:
        return dict(self._folded)

    def resource(self, stream: str) -> Resource:
        return self._folded.get(stream) or super().resource(stream)

    def _append(self, turn: Turn) -> list[Recorded]:
        recorded = super()._append(turn)
        for event in recorded:
            self._folded[event.stream] = evolve(self._folded.get(event.stream) or empty(event.stream), event)
            for release in event.releases:
                if self.held.get((release.scope, release.item)) == event.stream:
                    del self.held[release.scope, release.item]
            for claim in event.claims:
                holder = self.held.setdefault((claim.scope, claim.item), event.stream)
                assert holder == event.stream, f"{event.stream} claims what {holder} holds, and would wait for ever: {claim}"
                if claim.limit is not None:
                    used = sum(1 for scope_, _ in self.held if scope_ == claim.scope)
                    assert used <= claim.limit, f"{claim.scope} is full: {used} of {claim.limit}"
        for stream in {event.stream for event in recorded}:
            believed, told = turn.resources[stream], self._folded[stream]
            assert (believed.row, believed.version) == (told.row, told.version), f"{stream} is not what its turn believed"
            assert {key: each.pid for key, each in believed.open.items()} == {key: each.pid for key, each in told.open.items()}
        return recorded

    def restart(self) -> None:
        """The engine dies; the next one knows only the log."""
        self.fleet, self.waits = Fleet(), {}
        self.fleet.apply(self.log)
        self.settle()


def a_checked_cloud() -> Checked:
    story = Checked()
    story.create("account", uuid="admin", name="admin", kind="admin")
    story.create("image", uuid="sim:busybox", format="sim", isPublic=True, accountId=1, kind="sim")
    story.create("agent", uri="sim://", uuid="agent", managedConfig=False, name="sim")
    story.answer_all(obliging)
    for host in of_type(story, "host"):
        story.command(host.stream, Update({"computeFree": SLOTS}))
    story.create("hostOnlyNetwork", kind="hostOnlyNetwork", accountId=1, dynamicCreateVnet=True)
    story.create("subnet", networkId=1, networkAddress="10.0.0.0", startAddress="10.0.0.2", endAddress="10.0.0.4", accountId=1)
    story.create("hostOnlyNetwork", kind="hostOnlyNetwork", accountId=1, dynamicCreateVnet=True)
    story.create("subnet", networkId=2, networkAddress="10.1.0.0", cidrSize=28, accountId=1)
    story.create("subnetIpPool", kind="subnetIpPool", networkAddress="203.0.113.0", cidrSize=28, accountId=1)
    story.create("agentInstanceProvider", kind="agentInstanceProvider", networkId=2, agentInstanceImageUuid="sim:busybox", accountId=1)
    story.create("linkService", kind="linkService", networkId=2, networkServiceProviderId=1, accountId=1)
    return story


def obliging(ask: Ask) -> Any:
    return sim_inventory(HOSTS) if ask.command == "ping" and ask.agent == 1 else {}


def of_type(story: Story, *types: str) -> list[Resource]:
    found = [each for each in story.resources().values() if each.type in types]
    return sorted(found, key=lambda each: (each.type, each.id))


def wishes(first: int, second: int) -> dict[str, Any]:
    """What a created instance asks for: every combination comes up."""
    given: dict[str, Any] = {} if second else {"startOnCreate": False}
    if second % 2:
        given["networkIds"] = [1]
    elif second:
        given |= {"networkIds": [2], "publicIpAddressPoolId": 1 if second % 4 else None}
    if second > 3:
        given["ports"] = [f"{8080 + first % 2}:80", "53/udp"]
    if second > 5:
        given["instanceLinks"] = {"other": first or None}
    return given


def attempt(story: Story, found: list[Resource], index: int, command: Command) -> None:
    if found:
        with contextlib.suppress(Refused):  # as the API would tell the user
            story.command(found[index % len(found)].stream, command)


def take(story: Checked, step: Step, seen: list[Ask]) -> None:
    """One step of a random story."""
    what, first, second = step
    asks = story.asks()
    ask = asks[first % len(asks)] if asks else None
    match what:
        case "create":
            story.create("container", imageId=1, accountId=1, **wishes(first, second))
        case "instance":
            attempt(story, of_type(story, "instance"), first, INSTANCE_COMMANDS[second])
        case "other":
            attempt(story, of_type(story, *OTHERS), first, OTHER_COMMANDS[second])
        case "answer" if ask:
            seen.append(ask)
            story.answer(ask, obliging(ask))
        case "error" if ask:
            seen.append(ask)
            story.answer(ask, error=f"{ask.command} fails")
        case "repeat" if seen:
            old = seen[first % len(seen)]
            before = len(story.log)
            story.answer(old, obliging(old), error="too late" if second else None)
            assert len(story.log) == before, f"the answer to {old} counted twice: {story.log[before:]}"
        case "silence" if ask:
            story.take_turn(ask.root, Triggers(silent=frozenset({ask.id})))
            story.settle()
        case "time":
            story.pass_time(first)
        case "restart":
            story.restart()


def come_to_rest(story: Story) -> None:
    """Every agent does what it is told, and time passes."""
    for _ in range(12):
        story.answer_all(obliging)
        story.pass_time(16)
        if not any(each.open or each.undoing for each in story.resources().values()):
            return
    raise AssertionError({each.stream: (each.open, each.undoing) for each in story.resources().values() if each.open or each.undoing})


def check_rest(story: Checked) -> None:
    assert fold_all(story.log) == story.resources()
    for each in story.resources().values():
        assert not CATALOGUE.transitioning(each.type, each.state), f"{each.stream} is {each.state} for ever"
        assert each.row.get("allocationState") in (None, "active", "inactive"), f"{each.stream} is {each.row['allocationState']} for ever"
    check_capacity(story)
    check_leases(story)


def check_leases(story: Checked) -> None:
    """Whoever holds a lease shows it, and is in a state to use it; who uses one holds it; and the fleet knows it as the log does."""
    fresh = Fleet()
    fresh.apply(story.log)
    shown = set()
    for each in story.resources().values():
        match each.type:
            case "instanceLink" if each.fields.get("ports"):
                number = each.row["data"]["linkService"]
                shown |= {(f"networkService-{number}/linkPort", str(port["publicPort"]), each.stream) for port in each.fields["ports"]}
            case "ipAddress" if each.state in ("active", "associated") and each.row.get("subnetId"):
                shown.add((f"subnet-{each.row['subnetId']}/address", each.row["address"], each.stream))
            case "nic" if each.row.get("macAddress"):
                assert each.state != "purged"
                shown.add((f"network-{each.row['networkId']}/mac", each.row["macAddress"], each.stream))
            case "network" if each.fields.get("macPrefix"):
                shown.add(("global-1/macPrefix", each.fields["macPrefix"], each.stream))
            case "instance" if leases := ports.held(each):
                assert each.state == "running", f"{each.stream} is {each.state} and has {leases}"
                shown |= {(f"host-{host}/port", item, each.stream) for host, item in leases}
    held = {(scope_, item, holder) for (scope_, item), holder in story.held.items() if leased(scope_)}
    assert held == shown
    for scope_, item, holder in held:
        assert story.fleet.holder(scope_, item) == fresh.holder(scope_, item) == holder
    for one in {scope_ for scope_, _, _ in held}:
        assert story.fleet.held(one) == len([scope_ for scope_, _, _ in held if scope_ == one])


def check_capacity(story: Checked) -> None:
    """A host's capacity is taken by the instances that have their place there, and by nothing else."""
    fresh = Fleet()
    fresh.apply(story.log)
    placed: dict[str, set[str]] = {}
    for each in of_type(story, "instanceHostMap"):
        instance = story.resource(f"instance-{each.row['instanceId']}")
        if instance.row["allocationState"] == "active" and not each.data.get("deallocated"):
            placed.setdefault(f"host-{each.row['hostId']}/compute", set()).add(instance.stream)
    for host in of_type(story, "host"):
        items = {item for scope_, item in story.held if scope_ == scope(host)}
        assert items == placed.get(scope(host), set())
        assert story.fleet.used(scope(host)) == fresh.used(scope(host)) == len(items)


def bounded(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The same stories every time, so that a failure is one of the change at hand."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return settings(max_examples=examples, derandomize=True, database=None, suppress_health_check=checks)(test)

    return decorate


@pytest.mark.timeout(300)  # many stories; a machine that does other things beside takes its time
@bounded(600)
@given(STEPS)
def test_whatever_happens_in_any_order_everything_comes_to_rest_and_nothing_is_left_on_a_host_that_is_purged(steps: list[Step]) -> None:
    story = a_checked_cloud()
    seen: list[Ask] = []
    for step in steps:
        take(story, step, seen)
    come_to_rest(story)
    check_rest(story)
    for instance in of_type(story, "instance"):
        if instance.state != "removed":
            attempt(story, [instance], 0, Delete())
    come_to_rest(story)
    story.pass_time(61)
    come_to_rest(story)
    check_rest(story)
    assert {each.state for each in of_type(story, "instance")} <= {"purged"}
    assert not {item for scope_, item in story.held if scope_.endswith(("/compute", "/port"))}
