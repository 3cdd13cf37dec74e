"""How instances are reached: ip addresses, the pools of public ones, published ports, and links from one instance to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from commands.catalogue.model import Action, Field, Methods, ResourceType
from commands.catalogue.types.common import (
    ACCOUNT,
    ACTIVE_STATES,
    ALL,
    HIDDEN,
    INPUT,
    LIFE,
    READ,
    actions,
    col,
    fields,
    fld,
    links,
    many,
    mapped,
    one,
    proto,
)  # fmt: skip
from commands.catalogue.types.network import two_ends

EDITED = Methods(("GET",), ("GET", "PUT"))
"""Rows that only Corral makes, and of which people may change a little."""

IP_ADDRESS = ResourceType(
    "ipAddress", "ipAddresses", "1ia",
    fields(
        col("address", "string", "rc", "r", max_length=255),
        col("hostname", "string", "r", max_length=255),
        col("ipPoolId", "reference[ipPool]", "rcu"),
        col("isPublic", "boolean", "rcu", nullable=False),
        col("networkId", "reference[network]", "r", "r"),
        col("role", "string", "r", max_length=128),
        col("subnetId", "reference[subnet]", "rcu", "r"),
        states=tuple(sorted((*ACTIVE_STATES, "associated", "associating", "disassociating"))),
        user=True,
    ),
    links(
        ACCOUNT,
        many("childIpAssociations", "ipAssociation", "childIpAddressId"),
        many("hostIpAddressMaps", "hostIpAddressMap", "ipAddressId"),
        mapped("hosts", "host", "hostIpAddressMap", "ipAddressId", "hostId"),
        many("ipAddressNicMaps", "ipAddressNicMap", "ipAddressId"),
        many("ipAssociations", "ipAssociation", "ipAddressId"),
        one("ipPool", "ipPool"),
        one("network", "network"),
        mapped("nics", "nic", "ipAddressNicMap", "ipAddressId", "nicId"),
        many("privatePorts", "port", "privateIpAddressId"),
        many("publicPorts", "port", "publicIpAddressId"),
        one("subnet", "subnet"),
    ),
    actions(
        "ipAddress", *LIFE,
        associate=Action("associate", "ipAddressAssociateInput", "ipPool", capability="associate"),
        disassociate=Action("disassociate", output="ipAddress", capability="associate"),
    ),
    ALL, READ,
)  # fmt: skip

IP_ASSOCIATION = ResourceType(
    "ipAssociation", "ipAssociations", "1ia",
    fields(
        col("childIpAddressId", "reference[ipAddress]", "rcu"),
        col("ipAddressId", "reference[ipAddress]", "rcu"),
        col("role", "string", "rcu", max_length=255),
    ),
    links(ACCOUNT, one("childIpAddress", "ipAddress"), one("ipAddress", "ipAddress")),
    actions("ipAssociation", *LIFE), ALL, HIDDEN,
    owner="ipAddressId",
)  # fmt: skip


def _pool(*own: Field) -> Mapping[str, Field]:
    return fields(col("isPublic", "boolean", "rcu", nullable=False), *own)


IP_POOL = ResourceType(
    "ipPool", "ipPools", "1ip", _pool(),
    links(ACCOUNT, many("ipAddresses", "ipAddress", "ipPoolId"), many("subnets", "subnet", "ipPoolId")),
    actions("ipPool", *LIFE, acquire=Action("acquire", output="ipAddress", state="active")), ALL, HIDDEN,
    children=("subnetIpPool",),
)  # fmt: skip

SUBNET_IP_POOL = replace(
    IP_POOL, name="subnetIpPool", plural="subnetIpPools", parent="ipPool", children=(),
    fields=_pool(
        fld("cidrSize", "int", "rc", required=True, default=24, min=8, max=28),
        fld("endAddress", "string", "rc", max_length=255),
        fld("gateway", "string", "rc", max_length=255),
        fld("networkAddress", "string", "rc", required=True, max_length=255),
        fld("startAddress", "string", "rc", max_length=255),
    ),
)  # fmt: skip

PORT = ResourceType(
    "port", "ports", "1p",
    fields(
        col("instanceId", "reference[instance]", "r", "r"),
        col("privateIpAddressId", "reference[ipAddress]", "r", "r"),
        col("privatePort", "int", "r", "r"),
        col("protocol", "string", "r", "r", max_length=128),
        col("publicIpAddressId", "reference[ipAddress]", "r", "r"),
        col("publicPort", "int", "ru", "ru", schedules_update=True),
        user=True,
    ),
    links(
        ACCOUNT,
        one("instance", "instance"),
        one("privateIpAddress", "ipAddress"),
        one("publicIpAddress", "ipAddress"),
    ),
    actions("port", *LIFE), EDITED, EDITED,
    owner="instanceId",
)  # fmt: skip

INSTANCE_LINK = ResourceType(
    "instanceLink", "instanceLinks", "1il",
    fields(
        col("instanceId", "reference[instance]", "r", "r"),
        col("linkName", "string", "r", "r", max_length=255),
        fld("ports", "array[json]", "r", nullable=False),
        col("targetInstanceId", "reference[instance]", "rcu", "ru", schedules_update=True),
        user=True,
    ),
    links(ACCOUNT, one("instance", "instance"), one("targetInstance", "instance")),
    actions("instanceLink", *LIFE), EDITED, EDITED,
    owner="instanceId",
)  # fmt: skip

IP_ADDRESS_ASSOCIATE_INPUT = ResourceType(
    "ipAddressAssociateInput", "ipAddressAssociateInputs", "1iaai",
    {"ipAddressId": proto("ipAddressId", "reference[ipAddress]", "rcu", "rc", nullable=False)},
    admin=INPUT, user=Methods(("POST",), ("GET",)), stored=False,
)  # fmt: skip

TYPES = [
    IP_ADDRESS, IP_ASSOCIATION, IP_POOL, SUBNET_IP_POOL, PORT, INSTANCE_LINK, IP_ADDRESS_ASSOCIATE_INPUT,
    two_ends("ipAddressNicMap", "1ianm", "ipAddress", "nic", owner="nicId"),
    two_ends("hostIpAddressMap", "1hiam", "host", "ipAddress"),
]  # fmt: skip
