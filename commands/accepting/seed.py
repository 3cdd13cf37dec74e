"""What every cloud starts with: the accounts admin (active), system and superadmin (inactive), zone 1, and where the settings say so
sample networks. Done once, by whoever is first."""

from __future__ import annotations

from typing import Any

from commands.accepting.service import Actor, Commands
from commands.resource import Json
from commands.turns.turn import Turn
from eventstore import Taken

INACTIVE = ("system", "superadmin")

SEED = Actor(correlation="corral:seed")

UNMANAGED, MANAGED = "unmanaged", "managed-docker0"
"""The uuids of the sample networks, by which Cattle's users know them."""

BRIDGE: Json = {"libvirt": {"network": {"source": [{"bridge": "docker0"}], "type": "bridge"}}}

SERVICES = {
    "dnsService": "dns", "dhcpService": "dhcp", "linkService": "link", "ipsecTunnelService": "ipsec-tunnel", "portService": "port",
    "hostNatGatewayService": "host-nat-gateway", "metadataService": "metadata",
}  # fmt: skip
"""Kind -> the middle of the uuid: docker0-dns-service."""


async def seed(commands: Commands) -> int:
    """-> the number of the admin account."""
    holder = await commands.store.holder("account.uuid", "admin")
    try:
        admin = _number(holder) if holder else (await commands.carry_out(_accounts, SEED)).resource.id
    except Taken as taken:  # several servers start on one new log: another was first
        admin = _number(taken.holder)
    if commands.settings["sample.setup"]:
        await _sample(commands)
    return admin


async def _sample(commands: Commands) -> None:
    """All of it in one append: its uuids are claimed, so that there is one of it, now and after a removal."""
    if await commands.store.holder("network.uuid", MANAGED) is not None:
        return
    system = _number(await commands.store.holder("account.uuid", "system") or "")
    try:
        await commands.carry_out(lambda turn: _networks(turn, system), SEED)
    except Taken:
        return  # another server did it a moment ago


def _networks(turn: Turn, system: int) -> str:
    """Rows alone: the engine, which sees what is leased, activates them."""

    def make(type_name: str, uuid: str, **row: Any) -> int:
        return turn.create(type_name, {"uuid": uuid, "accountId": system, **row}, kind=type_name, run=False).id

    free = make("network", UNMANAGED, name="Unmanaged Network", isPublic=True)
    make("metadataService", "unmanaged-docker0-metadata-service", networkId=free, configDrive=True)
    network = make(
        "hostOnlyNetwork", MANAGED, name="Managed Network on docker0", isPublic=True, hostVnetUri="bridge://docker0",
        dynamicCreateVnet=True, data=BRIDGE,
    )  # fmt: skip
    make("subnet", "docker0-subnet", networkId=network, networkAddress="10.42.0.0", cidrSize=16)
    provider = make("agentInstanceProvider", "docker0-agent-instance-provider", networkId=network)
    for kind, word in SERVICES.items():
        make(kind, f"docker0-{word}-service", networkId=network, networkServiceProviderId=provider)
    return f"network-{network}"


def _accounts(turn: Turn) -> str:
    admin = turn.create("account", {"uuid": "admin", "name": "admin"}, kind="admin")
    deactivate = turn.catalogue.process("account.deactivate")
    for name in INACTIVE:
        account = turn.create("account", {"uuid": name, "name": name}, kind=name)
        turn.advance(account.stream, turn.begin(account.stream, deactivate))
    turn.create("zone", {"uuid": "zone1", "name": "zone1", "state": "active"})
    return admin.stream


def _number(stream: str) -> int:
    return int(stream.rpartition("-")[2])
