"""What Corral itself notes in a row's `data`: people see it there, and nobody but a turn writes it. By root type.

What a client, an agent or a handler says of these keys is passed over, as with every field that is not theirs to set; a `data` that
replaces the whole map leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.catalogue.model import ResourceType

KEPT: Mapping[str, frozenset[str]] = {
    "account": frozenset({"natsKey"}),
    "agent": frozenset({"config", "delegate", "disconnected", "knowsEpochs", "natsKey", "ssh"}),
    "externalHandler": frozenset({"natsKey"}),
    "genericObject": frozenset({"agentId"}),
    "host": frozenset({"dead"}),
    "hostIpAddressMap": frozenset({"address"}),
    "instance": frozenset({"hostPorts", "ipsec", "ipsecPorts", "metadataAttach", "move", "runsWith"}),
    "instanceHostMap": frozenset({"deallocated"}),
    "instanceLink": frozenset({"linkPorts", "target"}),
    "ipAddress": frozenset({"innerAddress", "leased", "releaseOnChildPurge"}),
    "ipAssociation": frozenset({"address"}),
    "networkService": frozenset({"ipsecKey"}),
    "networkServiceProviderInstanceMap": frozenset({"vnetId"}),
    "nic": frozenset({"leased"}),
    "port": frozenset({"givenPort"}),
    "vnet": frozenset({"hostOnly"}),
}

KEPT_OF_ALL = frozenset({"forced"})
"""The same of every type."""

KEPT_FIELDS: Mapping[str, frozenset[str]] = {"network": frozenset({"macPrefix"})}
"""The same of data.fields. (No client sets what is computed, either.)"""


NOT_ANSWERED: Mapping[str, frozenset[str]] = {"agent": frozenset({"agentResourcesAccountId", "registrationKey"})}
"""What clients may give there, and no answer of an agent or a handler changes: whose the things are that an agent reports."""


CLIENTS_ALONE: Mapping[str, frozenset[str]] = {
    "agent": frozenset({"managedConfig", "sshPassword", "uri", "user"}),
    "image": frozenset({"checksum", "isPublic", "url"}),
    "instance": frozenset({
        "capAdd", "command", "commandArgs", "dataVolumes", "dataVolumesFrom", "devices", "dockerCreate", "dockerVolumes", "entryPoint",
        "environment", "firstHostId", "groupAdd", "imageUuid", "privileged", "securityOpt", "user", "userdata",
    }),
}  # fmt: skip
"""Columns, fields and keys of `data` that no agent's answer changes (a handler's may), beside all that ties a row to another: where an
instance or a volume has its place, and what other hosts are told, too. An agent has its own host; with these it would have those to
which an instance moves, that fetch the image, or that the server logs in to."""

OF_NO_AGENT = frozenset({"account", "credential", "zone"})
"""Types of which agents say nothing at all."""


def of_clients_alone(type: ResourceType) -> frozenset[str]:
    """See CLIENTS_ALONE."""
    return CLIENTS_ALONE.get(type.parent or type.name, frozenset()) | {name for name, each in type.fields.items() if each.reference}


def kept_of(type: ResourceType, *, answer: bool = False) -> frozenset[str]:
    """`answer`: from what an agent or a handler says."""
    root = type.parent or type.name
    return KEPT.get(root, frozenset()) | KEPT_OF_ALL | (NOT_ANSWERED.get(root, frozenset()) if answer else frozenset())


def is_kept_field(type: ResourceType, name: str) -> bool:
    field = type.fields.get(name)
    return name in KEPT_FIELDS.get(type.parent or type.name, ()) or (field is not None and field.store == "calc")


def from_outside(type: ResourceType, data: Mapping[str, Any], *, answer: bool = False) -> dict[str, Any]:
    """A map for a row's data, in merge syntax or plain, without what is kept from whoever gives it."""
    kept = kept_of(type, answer=answer)
    return {name: value for name, value in data.items() if name.removeprefix("+") not in kept}
