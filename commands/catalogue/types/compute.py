"""What runs: instances (containers and virtual machines) and the hosts they are placed on."""

from __future__ import annotations

from collections.abc import Mapping

from commands.catalogue.model import Action, Field, Methods, ResourceType
from commands.catalogue.types.common import (
    ACCOUNT,
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
    unseen,
)  # fmt: skip

INSTANCE_STATES = (
    "creating", "migrating", "purged", "purging", "removed", "removing", "requested", "restarting", "restoring", "running",
    "starting", "stopped", "stopping", "updating-running", "updating-stopped",
)  # fmt: skip

_LINKS = links(
    ACCOUNT,
    one("agent", "agent"),
    many("credentialInstanceMaps", "credentialInstanceMap", "instanceId"),
    mapped("credentials", "credential", "credentialInstanceMap", "instanceId", "credentialId"),
    mapped("hosts", "host", "instanceHostMap", "instanceId", "hostId"),
    one("image", "image"),
    many("instanceHostMaps", "instanceHostMap", "instanceId"),
    many("instanceLinks", "instanceLink", "instanceId"),
    many("networkServiceProviderInstanceMaps", "networkServiceProviderInstanceMap", "instanceId"),
    mapped(
        "networkServiceProviders", "networkServiceProvider", "networkServiceProviderInstanceMap", "instanceId",
        "networkServiceProviderId",
    ),
    many("nics", "nic", "instanceId"),
    many("ports", "port", "instanceId"),
    many("targetInstanceLinks", "instanceLink", "targetInstanceId"),
    many("volumes", "volume", "instanceId"),
)

_ACTIONS = actions(
    "instance",
    "allocate", "create", "deallocate", "migrate", "purge", "remove", "restart", "restore", "start", "update",
    stop=Action("stop", "instanceStop", "instance"),
    console=Action("console", "instanceConsoleInput", "instanceConsole", capability="console", state="running"),
)  # fmt: skip


def _instance(*own: Field) -> Mapping[str, Field]:
    shared = (
        col("agentId", "reference[agent]", "rcu"),
        col("allocationState", "string", "r", max_length=255),
        col("compute", "int", "r"),
        fld("count", "int", "rc", "rc", hidden=True),
        fld("credentialIds", "array[reference[credential]]", "rc", "rc", hidden=True),
        col("domain", "string", "r", max_length=128),
        col("firstRunning", "date", "r"),
        col("hostname", "string", "r", max_length=255),
        col("imageId", "reference[image]", "rc", "rc"),
        fld("imageUuid", "string", "rc", "rc"),
        col("instanceTriggeredStop", "enum", "rcu", "rcu", default="stop", max_length=128, options=("stop", "remove", "restart")),
        col("memoryMb", "int", "r", default=256),
        fld("networkIds", "array[reference[network]]", "rc", "rc", hidden=True),
        col("offeringId", "reference[offering]"),
        fld("ports", "array[string]", "rc", "rc", hidden=True),
        fld("primaryAssociatedIpAddress", "string", "r", "r", nullable=False),
        fld("primaryIpAddress", "string", "r", "r", nullable=False),
        fld("requestedHostId", "reference[host]", "rcu", "rc"),
        fld("startOnCreate", "boolean", "rc", "rc", nullable=False, default=True),
        fld("subnetIds", "array[reference[subnet]]", "rc", "rc", hidden=True),
        col("token", "string", "r", max_length=255, secret=True, told_agents=True),
        col("userdata", "string", "rcu", "rcu", max_length=65535),
        fld("validHostIds", "array[reference[host]]", "rcu"),
        fld("vnetIds", "array[reference[vnet]]", "rc", "", hidden=True),
        col("zoneId", "reference[zone]"),
    )
    return fields(*shared, *own, states=INSTANCE_STATES, user=True)


INSTANCE = ResourceType(
    "instance", "instances", "1i",
    _instance(
        col("imageId", "reference[image]", "rcu", "r"),
        fld("imageUuid", "string", "r"),
        fld("networkIds", "array[reference[network]]", "r", hidden=True),
        fld("startOnCreate", "boolean", "r", nullable=False, default=True),
        col("offeringId", "reference[offering]", filtered=False),
        fld("subnetIds", "array[reference[subnet]]", "r", hidden=True),
    ),
    _LINKS, _ACTIONS, READ, READ,
    children=("virtualMachine", "container"),
)  # fmt: skip

CONTAINER = ResourceType(
    "container", "containers", "1i",
    _instance(
        col("kind", "string", "r", "r", max_length=255),
        col("uuid", "string", "r", "r", max_length=128),
        fld("command", "string", "rc", "rc", min_length=1),
        fld("commandArgs", "array[string]", "rc", "rc"),
        col("compute", "int", "rc"),
        fld("directory", "string", "rc", "rc", min_length=1),
        fld("dockerHostIp", "string", nullable=False),
        fld("dockerIp", "string", nullable=False),
        fld("dockerPorts", "map[string]", nullable=False),
        fld("dockerVolumes", "array[string]", "rc"),
        fld("environment", "map[string]", "rc", "rc", nullable=False),
        col("hostname", "string", "rc", "rc", min_length=1, max_length=255),
        fld("instanceLinks", "map[reference[instance]]", "rc", "rc", hidden=True),
        fld("privileged", "boolean", "rc", nullable=False, default=False),
        fld("publishAllPorts", "boolean", "rc", "rc", nullable=False, default=False),
        fld("user", "string", "rc", "rc", min_length=1),
    ),
    _LINKS, _ACTIONS, ALL, ALL,
    parent="instance",
)  # fmt: skip

VIRTUAL_MACHINE = ResourceType(
    "virtualMachine", "virtualMachines", "1i",
    _instance(
        col("kind", "string", "r", "r", max_length=255),
        col("compute", "int", "rc", "rc"),
        fld("libvirtVncAddress", "string", "r", nullable=False),
        fld("libvirtVncPassword", "string", "r", nullable=False, secret=True),
        col("memoryMb", "int", "rc", "rc", default=256),
        fld("publicIpAddressPoolId", "reference[ipPool]", "rcu"),
        fld("vcpu", "int", "rc", "rc"),
    ),
    _LINKS, _ACTIONS, ALL, ALL,
    parent="instance",
)  # fmt: skip

INSTANCE_HOST_MAP = ResourceType(
    "instanceHostMap", "instanceHostMaps", "1ihm",
    fields(col("hostId", "reference[host]", "rcu"), col("instanceId", "reference[instance]", "rcu"), account=False),
    links(one("host", "host"), one("instance", "instance")),
    actions("instanceHostMap", *LIFE), ALL, HIDDEN,
    owner="instanceId", single=(("instanceId",),),
)  # fmt: skip

INSTANCE_STOP = ResourceType(
    "instanceStop", "instanceStops", "1is",
    {each.name: each for each in (
        proto("deallocateFromHost", "boolean", "rc", nullable=False),
        proto("remove", "boolean", "rc", "rc", nullable=False),
    )},
    admin=INPUT, user=Methods(("POST",), ("GET",)), stored=False,
)  # fmt: skip

INSTANCE_MIGRATE = ResourceType(
    "instanceMigrate", "instanceMigrates", "1im",
    {each.name: each for each in (
        proto("hostId", "reference[host]", "rc", "rc"),
        proto("requestedHostId", "reference[host]", "rc", "rc"),
    )},
    admin=INPUT, user=INPUT, stored=False,
)  # fmt: skip
"""What a move may be told: where to, by either name. In no catalogue: Cattle's schema of the action has no input."""

INSTANCE_CONSOLE = ResourceType(
    "instanceConsole", "instanceConsoles", "1ic",
    {each.name: each for each in (
        proto("kind", "string", "rc", "r", nullable=False),
        proto("password", "string", "r", "r", nullable=False, secret=True),
        proto("url", "string", "r", "r", nullable=False),
    )},
    admin=INPUT, user=Methods((), ("GET",)), stored=False,
)  # fmt: skip

INSTANCE_CONSOLE_INPUT = ResourceType(
    "instanceConsoleInput", "instanceConsoleInputs", "1ici", {}, admin=INPUT, user=Methods((), ("GET",)), stored=False
)

OFFERING = ResourceType(
    "offering", "offerings", "1o",
    unseen(fields(col("isPublic", "boolean", nullable=False), states=())),
    links(ACCOUNT, many("instances", "instance", "offeringId"), many("volumes", "volume", "offeringId")),
)  # fmt: skip
"""Sizes to choose from. Nothing makes any, and only superadmins see the type."""

TYPES = [INSTANCE, CONTAINER, VIRTUAL_MACHINE, INSTANCE_HOST_MAP, INSTANCE_STOP, INSTANCE_CONSOLE, INSTANCE_CONSOLE_INPUT, OFFERING]
