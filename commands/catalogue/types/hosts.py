"""Where things run: agents, the hosts they answer for, and the machines those stand on."""

from __future__ import annotations

from commands.catalogue.model import ResourceType
from commands.catalogue.types.common import (
    ACCOUNT,
    ACTIVE_STATES,
    ALL,
    HIDDEN,
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
    unseen,
)  # fmt: skip

AGENT_GROUP = ResourceType(
    "agentGroup", "agentGroups", "1ag", fields(states=()),
    links(ACCOUNT, many("agents", "agent", "agentGroupId")), {}, ALL, HIDDEN,
)  # fmt: skip
"""It has processes, but shows no action and nothing under way: so does Cattle, whose definitions misspell the type."""

AGENT = ResourceType(
    "agent", "agents", "1a",
    fields(
        col("agentGroupId", "reference[agentGroup]", "rcu"),
        col("managedConfig", "boolean", "rcu", nullable=False, default=True),
        col("uri", "string", "rcu", max_length=255, unique=True),
        fld("user", "string", "rc"),
        col("sshPassword", "string", max_length=255, secret=True, filtered=False),
        col("zoneId", "reference[zone]"),
        states=tuple(sorted((*ACTIVE_STATES, "reconnecting"))),
    ),
    links(
        ACCOUNT,
        one("agentGroup", "agentGroup"),
        many("configItemStatuses", "configItemStatus", "agentId"),
        many("hosts", "host", "agentId"),
        many("instances", "instance", "agentId"),
        many("storagePools", "storagePool", "agentId"),
    ),
    actions("agent", *LIFE, "reconnect"), ALL, HIDDEN,
)  # fmt: skip

HOST = ResourceType(
    "host", "hosts", "1h",
    fields(
        col("agentId", "reference[agent]", "rcu"),
        col("computeFree", "int", "rcu"),
        col("computeTotal", "int", "rcu"),
        col("isPublic", "boolean", "rcu", nullable=False),
        col("physicalHostId", "reference[physicalHost]", "rcu"),
        col("uri", "string", "r", max_length=255),
        col("zoneId", "reference[zone]"),
        user=True,
    ),
    links(
        ACCOUNT,
        one("agent", "agent"),
        many("hostIpAddressMaps", "hostIpAddressMap", "hostId"),
        many("hostVnetMaps", "hostVnetMap", "hostId"),
        many("instanceHostMaps", "instanceHostMap", "hostId"),
        mapped("instances", "instance", "instanceHostMap", "hostId", "instanceId"),
        mapped("ipAddresses", "ipAddress", "hostIpAddressMap", "hostId", "ipAddressId"),
        one("physicalHost", "physicalHost"),
        many("storagePoolHostMaps", "storagePoolHostMap", "hostId"),
        mapped("storagePools", "storagePool", "storagePoolHostMap", "hostId", "storagePoolId"),
        mapped("vnets", "vnet", "hostVnetMap", "hostId", "vnetId"),
    ),
    actions("host", *LIFE), ALL, READ,
)  # fmt: skip

PHYSICAL_HOST = ResourceType(
    "physicalHost", "physicalHosts", "1ph", fields(),
    links(ACCOUNT, many("hosts", "host", "physicalHostId")),
    actions("physicalHost", *LIFE), ALL, HIDDEN,
)  # fmt: skip

ZONE = ResourceType(
    "zone", "zones", "1z", unseen(fields(states=())),
    links(
        ACCOUNT,
        many("agents", "agent", "zoneId"),
        many("hosts", "host", "zoneId"),
        many("instances", "instance", "zoneId"),
        many("storagePools", "storagePool", "zoneId"),
        many("volumes", "volume", "zoneId"),
    ),
)  # fmt: skip
"""Every thing is in zone 1, the only one; only superadmins see it."""

TYPES = [AGENT_GROUP, AGENT, HOST, PHYSICAL_HOST, ZONE]
