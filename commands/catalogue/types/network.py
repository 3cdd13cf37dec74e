"""What instances are connected by: networks, their subnets and virtual networks, and the instances' nics on them."""

from __future__ import annotations

from collections.abc import Mapping

from commands.catalogue.model import Field, Link, ResourceType
from commands.catalogue.types.common import ACCOUNT, ALL, HIDDEN, LIFE, READ, actions, col, fields, fld, links, many, mapped, one

_NETWORK_LINKS = links(
    ACCOUNT,
    many("ipAddresses", "ipAddress", "networkId"),
    many("networkServiceProviders", "networkServiceProvider", "networkId"),
    many("networkServices", "networkService", "networkId"),
    many("nics", "nic", "networkId"),
    many("subnets", "subnet", "networkId"),
    many("vnets", "vnet", "networkId"),
)


def _network(*own: Field, user: bool) -> Mapping[str, Field]:
    return fields(
        col("domain", "string", "r", max_length=128),
        col("isPublic", "boolean", "rcu", nullable=False),
        fld("macPrefix", "string", "r", nullable=False),
        *own,
        user=user,
    )


def two_ends(name: str, prefix: str, one_type: str, other_type: str, owner: str | None = None) -> ResourceType:
    """A map: a row that ties two resources together and is nobody's."""

    def end(type_name: str) -> tuple[Field, Link]:
        return col(f"{type_name}Id", f"reference[{type_name}]", "rcu"), one(type_name, type_name)

    first, second = end(one_type), end(other_type)
    return ResourceType(
        name, f"{name}s", prefix, fields(first[0], second[0], account=False), links(first[1], second[1]), actions(name, *LIFE),
        ALL, HIDDEN, owner=owner,
    )  # fmt: skip


NETWORK = ResourceType(
    "network", "networks", "1n", _network(user=True), _NETWORK_LINKS, actions("network", *LIFE), ALL, READ,
    children=("hostOnlyNetwork",),
)  # fmt: skip

HOST_ONLY_NETWORK = ResourceType(
    "hostOnlyNetwork", "hostOnlyNetworks", "1n",
    _network(
        fld("dynamicCreateVnet", "boolean", "rc", nullable=False, default=False),
        fld("hostVnetUri", "string", "rc"),
        user=False,
    ),
    _NETWORK_LINKS, actions("network", *LIFE), ALL, HIDDEN,
    parent="network",
)  # fmt: skip

SUBNET = ResourceType(
    "subnet", "subnets", "1s",
    fields(
        col("cidrSize", "int", "rc", required=True, default=24, min=8, max=28),
        col("endAddress", "string", "rc", max_length=255),
        col("gateway", "string", "rc", max_length=255),
        col("ipPoolId", "reference[ipPool]", "rcu"),
        col("isPublic", "boolean", "rcu", nullable=False),
        col("networkAddress", "string", "rc", required=True, max_length=255),
        col("networkId", "reference[network]", "rcu", "r", required=True),
        col("startAddress", "string", "rc", max_length=255),
        user=True,
    ),
    links(
        ACCOUNT,
        many("ipAddresses", "ipAddress", "subnetId"),
        one("ipPool", "ipPool"),
        one("network", "network"),
        many("nics", "nic", "subnetId"),
        many("subnetVnetMaps", "subnetVnetMap", "subnetId"),
        mapped("vnets", "vnet", "subnetVnetMap", "subnetId", "vnetId"),
    ),
    actions("subnet", *LIFE), ALL, READ,
)  # fmt: skip

VNET = ResourceType(
    "vnet", "vnets", "1v",
    fields(
        col("networkId", "reference[network]", "rcu", required=True),
        col("uri", "string", "rc", required=True, max_length=255),
    ),
    links(
        ACCOUNT,
        many("hostVnetMaps", "hostVnetMap", "vnetId"),
        mapped("hosts", "host", "hostVnetMap", "vnetId", "hostId"),
        one("network", "network"),
        many("nics", "nic", "vnetId"),
        many("subnetVnetMaps", "subnetVnetMap", "vnetId"),
        mapped("subnets", "subnet", "subnetVnetMap", "vnetId", "subnetId"),
    ),
    actions("vnet", *LIFE), ALL, HIDDEN,
)  # fmt: skip

NIC = ResourceType(
    "nic", "nics", "1n",
    fields(
        col("deviceNumber", "int", "r"),
        col("instanceId", "reference[instance]", "rcu", "r"),
        col("macAddress", "string", "r", "r", max_length=128),
        col("networkId", "reference[network]", "rcu", "r"),
        col("subnetId", "reference[subnet]", "rcu", "r"),
        col("vnetId", "reference[vnet]", "rcu"),
        user=True,
    ),
    links(
        ACCOUNT,
        one("instance", "instance"),
        many("ipAddressNicMaps", "ipAddressNicMap", "nicId"),
        mapped("ipAddresses", "ipAddress", "ipAddressNicMap", "nicId", "ipAddressId"),
        one("network", "network"),
        one("subnet", "subnet"),
        one("vnet", "vnet"),
    ),
    actions("nic", *LIFE), ALL, READ,
    owner="instanceId",
)  # fmt: skip

TYPES = [
    NETWORK, HOST_ONLY_NETWORK, SUBNET, VNET, NIC,
    two_ends("subnetVnetMap", "1svm", "subnet", "vnet"),
    two_ends("hostVnetMap", "1hvm", "host", "vnet"),
]  # fmt: skip
