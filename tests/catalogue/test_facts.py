"""The catalogue is Cattle's, line by line: what differs stands here, with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Field, Process, ResourceType
from tests.catalogue import facts

LAST = "what is claimed is given back after all that may wait, by logic at the very end of the handlers that no handler replaces"
DEMANDED = "config items are demanded with the nic, the host and the agent itself; a change of their files is another version by itself"
APPLIED_FIRST = "it stands before the handlers: an agent is active once it has applied what it is made of"
CONNECTIONS = "commands go out over NATS: there is no connection to close"
CHAIN = "what follows is the process' chain, not logic that hands it over"

OTHERWISE = {
    ("agent.activate", "logic post 1000 AgentScriptsApply"): APPLIED_FIRST,
    ("agent.reconnect", "logic post 1000 AgentScriptsApply"): APPLIED_FIRST,
    ("agent.reconnect", "logic handler 500 AgentTimedConnectionClose"): CONNECTIONS,
    ("agent.deactivate", "logic handler 500 AgentConnectionClose"): CONNECTIONS,
    ("agent.remove", "logic handler 500 AgentConnectionClose"): CONNECTIONS,
    ("credential.create", "logic pre 1000 AgentApiKeyCreate"): "ApiKeyCreate is for all three kinds of key",
    ("credential.create", "logic pre 1000 RegisterTokenCreate"): "ApiKeyCreate is for all three kinds of key",
    ("credential.create", "logic pre 1000 SshKeyCreate"): "the pair comes with the request (commands/accepting/service.py)",
    ("externalHandler", "field priorityName enum fld r - not-null default=specific options=pre,specific,default_override"):
        "handlers are told to give it when they are created, so they can",
    ("hostipaddressmap.activate", "logic post 1000 AgentInstanceApplyItems"): DEMANDED,
    ("instance.restart", "logic handler 2000 InstanceRestart"): CHAIN,
    ("instance.start", "logic pre 1000 AgentInstanceInstanceStart"): DEMANDED,
    ("instance.stop", "logic post 2000 InstanceStopPostAction"): CHAIN,
    ("instancehostmap.activate", "logic pre 1000 MetadataAttachProcessHandler"): "noted by instance.start, well before the command",
    ("instancehostmap.activate", "logic pre 1000 AgentInstanceServicesInstanceHostMapActivate"):
        "what the services of a network want of their agents has no files yet, so nothing could be waited for",
    ("instancehostmap.deactivate", "logic post 1000 AgentInstanceHostServicesApplyItems"): DEMANDED,
    ("instancelink.activate", "logic post 1000 AgentInstanceApplyItems"): DEMANDED,
    ("instancelink.purge", "logic handler 2000 AgentInstanceLinkPurge"): LAST,
    ("ipaddress.deactivate", "logic handler 1000 DockerIpAddressDeactivate"): LAST,
    ("ipaddress.deactivate", "logic handler 2000 IpAddressDeactivate"): LAST,
    ("ipassociation.activate", "logic post 1000 AgentInstanceHostServicesApplyItems"): DEMANDED,
    ("ipassociation.deactivate", "logic post 1000 AgentInstanceHostServicesApplyItems"): DEMANDED,
    ("network.purge", "logic post 2000 MacAddressNetworkPurge"): LAST,
    ("nic.activate", "logic pre 500 AgentInstanceNicActivate"): "agent instances are made once the nic has all it needs, not twice",
    ("port.activate", "logic post 1000 AgentInstanceHostServicesApplyItems"): DEMANDED,
    ("port.update", "logic post 1000 AgentInstanceHostServicesApplyItems"): DEMANDED,
    ("register", "filter token eq"): "there is no such field: nothing could be found by it",
    ("storagepool.activate", "logic handler 1000 AddLibvirtDefaultImages"):
        "Cattle's default images were templates of its time, at addresses of its own: images are registered by their URL",
    ("subscribe", "filter eventNames eq"): "subscriptions are no rows: a list of them can't be filtered",
    ("volume.allocate", "logic handler 2000 VolumeAllocate"): "a volume finds its pool with the place of its instance (instance.allocate)",
    **{
        (f"agentgroup.{verb}", "of agentgroup"): "Cattle misspells the type, so that its own processes never run"
        for verb in ("create", "activate", "deactivate", "remove", "purge", "update", "restore")
    },
}  # fmt: skip
"""(type or process, line) of what Cattle has and Corral has not, or has otherwise."""

INSTEAD = {
    ("externalHandler", "field priorityName enum fld rc - not-null default=specific options=pre,specific,default_override"),
    *((name, "of agentGroup") for name, line in OTHERWISE if line == "of agentgroup"),
    ("agent", "field sshPassword string col - - mxl=255"),
    ("setting", "field secretValue string col - - mxl=1024"),
    ("instance.remove", "arrow migrating>removing>removed"),
    ("instance.stop", "arrow migrating>stopping>stopped"),
}
"""What Corral has in the place of some of these; where a setting that is a secret has its value, and an agent
the password of its uri, which nobody sees there; and that an instance can be stopped and removed while it moves."""

SIZE = "Cattle's machines have no snapshots and keep their size; these are sub-paths, so its documents and their actions stay as they are"
BEYOND = {"instance.snapshot": SIZE, "instance.revert": SIZE, "instance.resize": SIZE}
"""Processes that Cattle has not."""

TYPES, PROCESSES = facts.types(), facts.processes()
WITHOUT_FACTS = {"schema", "error"}
"""They describe the others; Cattle builds them in."""


def differences(catalogue: Catalogue) -> set[tuple[str, str, str]]:
    """(missing or added, type or process, line), but for what is known. Logic of our own may stand beside Cattle's."""
    types, processes = facts.of_catalogue(catalogue)
    types = {name: lines for name, lines in types.items() if name not in WITHOUT_FACTS}
    found = set()
    for wanted, has in ((TYPES, types), (PROCESSES, processes)):
        for name in (wanted.keys() | has.keys()) - BEYOND.keys():
            theirs, ours = wanted.get(name, frozenset()), has.get(name, frozenset())
            found |= {("missing", name, line) for line in theirs - ours if (name, line) not in OTHERWISE}
            added = {line for line in ours - theirs if wanted is TYPES or not line.startswith("logic")}
            found |= {("added", name, line) for line in added if (name, line) not in INSTEAD}
    return found


def test_every_type_and_process_is_as_cattle_has_it() -> None:
    assert sorted(differences(CATALOGUE)) == []


def test_what_differs_really_does() -> None:
    """An entry that is no longer true goes."""
    theirs = {(name, line) for known in (TYPES, PROCESSES) for name, lines in known.items() for line in lines}
    ours = {(name, line) for known in facts.of_catalogue(CATALOGUE) for name, lines in known.items() for line in lines}
    assert OTHERWISE.keys() <= theirs - ours
    assert ours - theirs >= INSTEAD
    assert BEYOND.keys() <= {each.name for each in CATALOGUE.processes.values()} - PROCESSES.keys()


def test_the_facts_are_whole() -> None:
    assert (len(TYPES), len(PROCESSES)) == (81, 254)
    assert len({name.partition(".")[0] for name in PROCESSES}) == 35
    assert all(any(line.startswith("type ") for line in lines) for lines in TYPES.values())
    assert all(any(line.startswith("arrow ") for line in lines) for lines in PROCESSES.values())


def without(type_name: str, field: str) -> ResourceType:
    kind = CATALOGUE.type(type_name)
    return replace(kind, fields={name: each for name, each in kind.fields.items() if name != field})


def with_field(type_name: str, field: Field) -> ResourceType:
    kind = CATALOGUE.type(type_name)
    return replace(kind, fields={**kind.fields, field.name: field})


VCPU = CATALOGUE.type("virtualMachine").fields["vcpu"]
HOST_MAPS = CATALOGUE.type("host").links["instanceHostMaps"]
START = CATALOGUE.process("instance.start")

CHANGED: list[tuple[ResourceType | Process, tuple[str, ...]]] = [
    (without("virtualMachine", "vcpu"), ("missing",)),
    (with_field("virtualMachine", replace(VCPU, admin="r")), ("added", "missing")),
    (with_field("virtualMachine", replace(VCPU, max=4)), ("added", "missing")),
    (with_field("port", Field("extra", "string", "fld", "rcu")), ("added",)),
    (replace(CATALOGUE.type("host"), actions={}), ("missing",)),
    (replace(CATALOGUE.type("host"), links={**CATALOGUE.type("host").links, "x": replace(HOST_MAPS, name="x")}), ("added",)),
    (replace(CATALOGUE.type("host"), prefix="1x"), ("added", "missing")),
    (replace(START, start=("stopped",)), ("missing",)),
    (replace(START, done="stopped"), ("added", "missing")),
    (replace(START, pre=()), ("missing",)),
    (replace(CATALOGUE.process("image.create"), post=()), ("missing",)),
    (replace(CATALOGUE.process("image.create"), delegate=None), ("missing",)),
]


@pytest.mark.parametrize(("change", "expected"), CHANGED, ids=lambda each: getattr(each, "name", ""))
def test_a_catalogue_that_is_otherwise_is_told_so(change: ResourceType | Process, expected: tuple[str, ...]) -> None:
    types = [change if each.name == change.name and isinstance(change, ResourceType) else each for each in CATALOGUE.types.values()]
    processes = [change if each.name == change.name and isinstance(change, Process) else each for each in CATALOGUE.processes.values()]
    found = differences(Catalogue(types, processes))
    assert {which for which, _, _ in found} == set(expected)
    assert {name for _, name, _ in found} == {change.name}
