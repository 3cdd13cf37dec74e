"""A resource of every type that can be made, by what the type's live schema demands and what Corral demands beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.catalogue.builtin import CATALOGUE

Json = dict[str, Any]

VALUES: Mapping[str, Any] = {"string": "sample", "password": "sample", "int": 1, "boolean": True, "date": "2026-01-31T10:00:00Z"}

BEYOND: Mapping[str, Json] = {
    "agent": {"uri": "sim://"},
    "container": {"imageUuid": "sim:sample", "name": "sample"},
    "virtualMachine": {"imageUuid": "sim:sample", "name": "sample"},
    "externalHandler": {"name": "instance.start;handler=sample", "processNames": ["instancelink.update"]},
    "externalHandlerProcess": {"name": "pre.instancelink.update"},
    "setting": {"name": "sample.setting", "value": "sample"},
    "subnet": {"networkAddress": "10.77.0.0", "cidrSize": 24},
    "subnetIpPool": {"networkAddress": "10.78.0.0", "cidrSize": 24},
    "ipAddress": {"address": "10.77.0.9"},
}
"""What a type needs that its schema doesn't say."""

REFERS: Mapping[str, tuple[str, ...]] = {
    "credentialInstanceMap": ("instanceId", "credentialId"),
    "externalHandlerExternalHandlerProcessMap": ("externalHandlerId", "externalHandlerProcessId"),
    "hostIpAddressMap": ("hostId", "ipAddressId"),
    "hostVnetMap": ("hostId", "vnetId"),
    "imageStoragePoolMap": ("imageId", "storagePoolId"),
    "instanceHostMap": ("instanceId", "hostId"),
    "ipAddressNicMap": ("nicId", "ipAddressId"),
    "ipAssociation": ("ipAddressId", "childIpAddressId"),
    "networkServiceProviderInstanceMap": ("instanceId", "networkServiceProviderId"),
    "nic": ("instanceId", "networkId"),
    "storagePoolHostMap": ("hostId", "storagePoolId"),
    "subnetVnetMap": ("subnetId", "vnetId"),
    "volumeStoragePoolMap": ("volumeId", "storagePoolId"),
    **dict.fromkeys(
        ("agentInstanceProvider", "dhcpService", "dnsService", "gatewayService", "hostNatGatewayService", "ipsecTunnelService",
         "linkService", "metadataService", "portService"), ("networkId",),
    ),
}  # fmt: skip
"""The references by which a type hangs together with others."""

def createable(schemas: Mapping[str, Json]) -> list[str]:
    """The types of which instances are kept and can be made, what others refer to first."""
    left = sorted(name for name, schema in schemas.items() if "POST" in schema["collectionMethods"] and CATALOGUE.type(name).stored)
    found: list[str] = []
    while left:
        wanting = {CATALOGUE.root_type(name).name for name in left}
        ready = [name for name in left if not _targets(schemas[name]) & (wanting - {CATALOGUE.root_type(name).name})]
        assert ready, f"these refer to each other: {left}"
        found += ready
        left = [name for name in left if name not in ready]
    return found


def _targets(schema: Json) -> set[str]:
    """The types that one of this type must refer to."""
    fields, refers = schema["resourceFields"], REFERS.get(schema["id"], ())
    needed = [told["type"] for name, told in fields.items() if name in refers or (told["create"] and told["required"])]
    return {type[len("reference[") : -1] for type in needed if type.startswith("reference[")}


def body_of(schema: Json, ids: Mapping[str, str]) -> Json:
    """What a POST of the type needs. `ids`: one of each type that is there."""
    name, body = schema["id"], {}
    for field, told in schema["resourceFields"].items():
        if not told["create"] or not (told["required"] or field in REFERS.get(name, ())):
            continue
        kind, _, target = told["type"].partition("[")
        if kind == "reference":
            if target[:-1] in ids:
                body[field] = ids[target[:-1]]
        else:
            body[field] = told["options"][0] if told["options"] else VALUES.get(kind, {} if kind in ("map", "json") else ["sample"])
    return {**body, **BEYOND.get(name, {})}
