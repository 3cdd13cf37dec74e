"""What a network does for its instances: its services, who provides them, and which agent instances do it in whose stead."""

from __future__ import annotations

from commands.catalogue.model import Field, ResourceType
from commands.catalogue.types.common import ACCOUNT, ALL, HIDDEN, LIFE, actions, col, fields, fld, links, many, mapped, one
from commands.catalogue.types.network import two_ends

_ON_A_NETWORK = col("networkId", "reference[network]", "rcu", required=True, nullable=False)


def _service(name: str, *own: Field, parent: str | None = "networkService", children: tuple[str, ...] = ()) -> ResourceType:
    return ResourceType(
        name, f"{name}s", "1ns",
        fields(_ON_A_NETWORK, col("networkServiceProviderId", "reference[networkServiceProvider]", "rcu"), *own),
        links(ACCOUNT, one("network", "network"), one("networkServiceProvider", "networkServiceProvider")),
        actions("networkService", *LIFE), ALL, HIDDEN, parent, children,
    )  # fmt: skip


def _provider(name: str, *own: Field, parent: str | None = None, children: tuple[str, ...] = ()) -> ResourceType:
    return ResourceType(
        name, f"{name}s", "1nsp",
        fields(_ON_A_NETWORK, *own),
        links(
            ACCOUNT,
            mapped("instances", "instance", "networkServiceProviderInstanceMap", "networkServiceProviderId", "instanceId"),
            one("network", "network"),
            many("networkServiceProviderInstanceMaps", "networkServiceProviderInstanceMap", "networkServiceProviderId"),
            many("networkServices", "networkService", "networkServiceProviderId"),
        ),
        actions("networkServiceProvider", *LIFE), ALL, HIDDEN, parent, children,
    )  # fmt: skip


_SERVICES = [
    _service("dnsService", fld("dns", "array[string]", "rcu", nullable=False)),
    _service("dhcpService"),
    _service("ipsecTunnelService"),
    _service("linkService"),
    _service("portService"),
    _service("metadataService", fld("configDrive", "boolean", "rcu", nullable=False, default=False)),
    _service("gatewayService"),
    _service("hostNatGatewayService"),
]

TYPES = [
    _provider("networkServiceProvider", children=("agentInstanceProvider",)),
    _provider("agentInstanceProvider", fld("agentInstanceImageUuid", "string", "rcu", nullable=False), parent="networkServiceProvider"),
    _service("networkService", parent=None, children=tuple(each.name for each in _SERVICES)),
    *_SERVICES,
    two_ends("networkServiceProviderInstanceMap", "1nspim", "instance", "networkServiceProvider"),
]
