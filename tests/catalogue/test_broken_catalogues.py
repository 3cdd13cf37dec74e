"""A catalogue that breaks a promise is found out: each property of test_promises can fail, and what contradicts itself is not built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Action, Ask, Await, CatalogueError, Child, Field, Join, Link, Logic, Own, Process, ResourceType
from commands.catalogue.processes.common import PURGED
from commands.logic import nics
from tests.catalogue import promises


def broken(*changes: Process | ResourceType) -> Catalogue:
    """Corral's, with these in the place of those of their name, or beside them."""
    types = {**CATALOGUE.types, **{each.name: each for each in changes if isinstance(each, ResourceType)}}
    processes = {**CATALOGUE.processes, **{each.name: each for each in changes if isinstance(each, Process)}}
    return Catalogue(list(types.values()), list(processes.values()))


def process(name: str, **changes: Any) -> Process:
    return replace(CATALOGUE.process(name), **changes)


def less(name: str, *logics: str) -> Process:
    """Without some of its logics."""
    found = CATALOGUE.process(name)
    phases: dict[str, Any] = {
        phase: tuple(each for each in found.logic[phase] if each.name not in logics) for phase in ("pre", "handlers", "post")
    }  # fmt: skip
    assert sum(map(len, phases.values())) == sum(map(len, found.logic.values())) - len(logics), f"{name} has not all of {logics}"
    return replace(found, **phases)


@pytest.mark.parametrize(
    ("change", "type_name", "found"),
    [
        (Process("agentgroup.rest", "agentGroup", ("active",), "going", "gone"), "agentGroup", "gone never leads to purged"),
        (Process("agentgroup.wake", "agentGroup", ("asleep",), "waking", "active"), "agentGroup", "nothing leads to asleep"),
        (process("vnet.purge", start=("purging",)), "vnet", "removed never leads to purged"),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_a_state_without_a_way_out_or_in_is_found(change: Process, type_name: str, found: str) -> None:
    assert promises.dead_ends(CATALOGUE, type_name, "state") == []
    assert found in promises.dead_ends(broken(change), type_name, "state")


def test_processes_that_wait_for_each_other_are_found() -> None:
    circle = broken(process("vnet.activate", handlers=(Join(nics.network, "network.activate"),)),
                    process("network.activate", handlers=(Join(nics.vnet, "vnet.activate"),)))  # fmt: skip
    assert promises.circles(circle, circle.process("vnet.activate")) == ["vnet.activate waits for itself"]
    assert promises.circles(CATALOGUE, CATALOGUE.process("vnet.activate")) == []


def test_a_delegate_that_comes_back_is_found() -> None:
    back = broken(process("vnet.activate", delegate="vnet.create"))
    assert promises.circles(back, back.process("vnet.create")) == ["vnet.create is delegated to vnet.create"]
    strange = broken(process("vnet.create", delegate="subnet.activate"))
    assert promises.circles(strange, strange.process("vnet.create"))


@pytest.mark.parametrize("verb", ["remove", "purge", "restore"])
def test_an_end_that_is_not_noted_is_found(verb: str) -> None:
    assert promises.unnoted(process(f"vnet.{verb}", post=()))
    assert not promises.unnoted(CATALOGUE.process(f"vnet.{verb}"))


def ask_of(name: str) -> Ask:
    return next(step for step in CATALOGUE.process(name).steps if isinstance(step, Ask) and not step.mends)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("instancehostmap.activate", {"seconds": 7200.0}),
        ("instancehostmap.activate", {"undo": None}),
        ("instancehostmap.activate", {"undo": "storage.volume.deactivate"}),
        ("instancehostmap.activate", {"undo": "compute.instance.activate"}),
        ("instancehostmap.deactivate", {"tries": 1}),
        ("imagestoragepoolmap.activate", {"no_undo": ""}),
    ],
)
def test_a_command_without_bounds_or_undo_is_found(name: str, change: dict[str, Any]) -> None:
    found, ask = CATALOGUE.process(name), ask_of(name)
    assert promises.unbounded(CATALOGUE, found, ask) == []
    assert promises.unbounded(CATALOGUE, found, replace(ask, **change))


def test_a_process_that_never_ends_is_found() -> None:
    def never(turn: object, resource: object) -> bool:
        return False

    waits = broken(process("vnet.deactivate", handlers=(Await(never),)))
    assert promises.endless(waits, waits.process("vnet.deactivate"))
    assert promises.left_of_a_bare_row(waits, "vnet")
    assert promises.left_of_a_bare_row(CATALOGUE, "vnet") == []


def test_a_row_that_can_not_be_driven_to_its_end_is_found() -> None:
    unremovable = broken(process("vnet.remove", start=("requested",)))
    assert promises.left_of_a_bare_row(unremovable, "vnet") == ["vnet-1 is inactive"]


def test_a_uuid_that_is_never_free_again_is_found() -> None:
    assert promises.left_of_a_bare_row(broken(less("vnet.purge", "FreeNames")), "vnet")


CLAIMED = [
    ("nic.purge", "MacAddressNicPurge", "/mac"),
    ("network.purge", "MacAddressNetworkPurge", "/macPrefix"),
    ("ipaddress.deactivate", "IpAddressDeactivate", "/address"),
    ("ipaddress.purge", "IpAddressDeactivate", "/address"),
    ("instancelink.purge", "AgentInstanceLinkPurge", "/linkPort"),
    ("nic.deactivate", "AgentInstanceIpsecNicDeactivate", "/hostPort"),
    ("instance.deallocate", "InstanceLeavesPlace", "/compute"),
    ("vnet.remove", "VnetLeavesHosts", "/vnet"),
    ("hostvnetmap.remove", "HostVnetMapLeaves", "/vnet-map"),
    ("subnetvnetmap.remove", "SubnetVnetMapLeaves", "/subnet-map"),
    ("hostipaddressmap.remove", "HostIpAddressMapLeaves", "/address-map"),
    ("networkserviceproviderinstancemap.remove", "NetworkServiceProviderInstanceMapLeaves", "/agent-instance"),
]


def test_claims_that_nothing_gives_back_are_found() -> None:
    """All in one story: each leaves its own kind behind, as no purge gives back whatever is left either."""
    without: dict[str, set[str]] = {each.name: {PURGED.name} for each in CATALOGUE.processes.values() if PURGED in each.logic["post"]}
    for name, logic, _ in CLAIMED:
        without.setdefault(name, set()).add(logic)
    forgetful = broken(*(less(name, *logics) for name, logics in without.items()))
    story = promises.a_busy_cloud(forgetful)
    promises.end(story)
    left = promises.kept(story)
    for _, logic, kind in CLAIMED:
        assert any(each.endswith(kind) for each in left), f"without {logic} nothing of {kind} is left"


# --- what can't be built ---

VNET = CATALOGUE.type("vnet")

CONTRADICTIONS: list[tuple[Callable[[], Process | ResourceType], str]] = [
    (lambda: replace(VNET, links={"x": Link("x", "nothing", "vnetId")}), "not a type"),
    (lambda: replace(VNET, actions={"x": Action("x", output="nothing")}), "unknown type"),
    (lambda: replace(VNET, parent="nothing"), "not a type"),
    (lambda: replace(VNET, owner="nothing"), "not one of its fields"),
    (lambda: replace(VNET, unique=(("nothing",),)), "not one of its fields"),
    (lambda: process("vnet.activate", type="nothing"), "not a type"),
    (lambda: process("vnet.activate", type="subnet"), "not named after"),
    (lambda: process("vnet.activate", field="nothing"), "not a field"),
    (lambda: process("vnet.create", delegate="vnet.nothing"), "not a process"),
    (lambda: process("vnet.activate", start=("asleep",)), "no state of"),
    (lambda: process("vnet.activate", failed="asleep"), "no state of"),
    (lambda: process("vnet.update", via={"active": "updating-active"}), "where it leads"),
    (lambda: process("vnet.activate", handlers=(Own("vnet.nothing"),)), "not a process"),
    (lambda: process("vnet.activate", handlers=(Child("nic", "nothing", "nic.activate"),)), "no field of it"),
    (lambda: process("vnet.activate", handlers=(Child("nothing", "vnetId", "nic.activate"),)), "no field of it"),
    (lambda: process("vnet.activate", handlers=(replace(ask_of("instancehostmap.activate"), seconds=0.0),)), "without a timeout"),
    (lambda: process("vnet.activate", handlers=(ask_of("instancehostmap.activate"),)), "which no process of vnet asks"),
    (lambda: replace(VNET, fields={**VNET.fields, "x": Field("x", "reference[vnett]")}), r"no type 'vnett' \(vnet\?\)"),
    (lambda: process("vnet.activate", pre=(Logic("x", (Join(nics.vnet, "vnet.nothing"),)),)), "not a process"),
]


@pytest.mark.parametrize(("change", "why"), CONTRADICTIONS)
def test_what_contradicts_itself_is_not_built(change: Callable[[], Process | ResourceType], why: str) -> None:
    with pytest.raises(CatalogueError, match=why):
        broken(change())
