"""What binds a nic to the network of a host: the vnets of host-only networks, found or made where an instance is placed, and their maps."""

from __future__ import annotations

from commands.catalogue.model import Target
from commands.resource import Resource
from commands.turns.turn import Turn
from commands.turns.world import World

HOST_ONLY = "hostOnlyNetwork"
DEFAULT_URI = "host:///"


def hosts_of(world: World, nic: Resource) -> list[Resource]:
    """Where the nic's instance is placed."""
    maps = world.children("instanceHostMap", "instanceId", nic.row.get("instanceId") or 0)
    hosts = (world.get("host", each.row.get("hostId")) for each in maps)
    return [each for each in hosts if each is not None]


def spot(host: Resource) -> str:
    """What shares a vnet: the hosts of one physical host, or a host alone."""
    physical = host.row.get("physicalHostId")
    return host.stream if physical is None else f"physicalHost-{physical}"


def host_only_network(world: World, nic: Resource) -> Resource | None:
    network = world.get("network", nic.row.get("networkId"))
    return network if network is not None and network.kind == HOST_ONLY else None


def vnet_at(world: World, nic: Resource, network: Resource, host: Resource) -> Resource | None:
    """The nic's own vnet; else the network's vnet that is mapped to the host or to another on the same physical host; else the one
    that was made for them and has lost its maps."""
    if nic.row.get("vnetId") is not None:
        return world.get("vnet", nic.row["vnetId"])
    physical = host.row.get("physicalHostId")
    near = [host.id] if physical is None else [host.id, *(each.id for each in world.having("host", "physicalHostId", physical))]
    for number in near:
        for each in world.having("hostVnetMap", "hostId", number):
            vnet = world.get("vnet", each.row.get("vnetId"))
            if vnet is not None and not vnet.removed and vnet.row.get("networkId") == network.id:
                return vnet
    made = [
        each for each in world.resources.values()
        if each.type == "vnet" and each.row.get("networkId") == network.id and spot_of(each) == spot(host)
    ]  # fmt: skip
    holder = world.fleet.holder(scope(network), spot(host))
    known = world.fleet.resources.get(holder) if holder else None
    return made[0] if made else known


def scope(network: Resource) -> str:
    return f"{network.stream}/vnet"


def spot_of(vnet: Resource) -> str | None:
    """Which spot a vnet was made for; None: people made it."""
    found: str | None = vnet.data.get("hostOnly")
    return found


# --- the steps of nic.activate ---


def to_join(turn: Turn, nic: Resource) -> list[Target]:
    """The vnet of each host of the instance: found, or made by whoever comes first."""
    network = host_only_network(turn, nic)
    if network is None:
        return []
    targets = []
    for host in hosts_of(turn, nic):
        found = vnet_at(turn, nic, network, host)
        create = {
            "uri": network.fields.get("hostVnetUri") or DEFAULT_URI, "networkId": network.id,
            "accountId": network.row.get("accountId"), "data": {"hostOnly": spot(host)},
        }  # fmt: skip
        targets.append(Target("vnet", found.id if found else None, create, (scope(network), spot(host))))
    return targets


def host_maps(turn: Turn, nic: Resource) -> list[Target]:
    """Each host reaches its vnet, also the second host of a physical host."""
    network = host_only_network(turn, nic)
    if network is None:
        return []
    targets = []
    for host in hosts_of(turn, nic):
        vnet = vnet_at(turn, nic, network, host)
        if vnet is not None:
            present = [each for each in turn.having("hostVnetMap", "hostId", host.id) if each.row.get("vnetId") == vnet.id]
            claim = (f"{host.stream}/vnet-map", vnet.stream)
            targets.append(Target("hostVnetMap", present[0].id if present else None, {"hostId": host.id, "vnetId": vnet.id}, claim))
    return targets


def subnet_maps(turn: Turn, nic: Resource) -> list[Target]:
    """The nic's subnet runs on the vnet."""
    network, subnet = host_only_network(turn, nic), nic.row.get("subnetId")
    if network is None or subnet is None:
        return []
    targets = []
    for host in hosts_of(turn, nic):
        vnet = vnet_at(turn, nic, network, host)
        if vnet is not None:
            present = [each for each in turn.having("subnetVnetMap", "vnetId", vnet.id) if each.row.get("subnetId") == subnet]
            create = {"subnetId": subnet, "vnetId": vnet.id}
            claim = (f"{vnet.stream}/subnet-map", f"subnet-{subnet}")
            targets.append(Target("subnetVnetMap", present[0].id if present else None, create, claim))
    return targets


def use_hosts(turn: Turn, nic: Resource) -> None:
    """On a host-only network the host's vnet is the nic's from now on."""
    if (network := host_only_network(turn, nic)) is not None:
        found = [vnet_at(turn, nic, network, host) for host in hosts_of(turn, nic)]
        _use(turn, nic, next((each for each in reversed(found) if each is not None), None))


def use_subnets(turn: Turn, nic: Resource) -> None:
    """On any other network that of its subnet is, unless it has one."""
    if host_only_network(turn, nic) is None:
        _use(turn, nic, of_subnet(turn, nic))


def _use(turn: Turn, nic: Resource, vnet: Resource | None) -> None:
    if vnet is not None and nic.row.get("vnetId") is None:
        turn.change(nic, {"vnetId": vnet.id})


def of_subnet(world: World, nic: Resource) -> Resource | None:
    """The single vnet that the nic's subnet runs on; of several the one that a host of the instance reaches."""
    subnet = nic.row.get("subnetId")
    if subnet is None:
        return None
    maps = world.having("subnetVnetMap", "subnetId", subnet)
    vnets = [vnet for each in maps if (vnet := world.get("vnet", each.row.get("vnetId"))) is not None and not vnet.removed]
    if len(vnets) < 2:
        return vnets[0] if vnets else None
    hosts = {each.id for each in hosts_of(world, nic)}
    reached = (each for each in vnets if any(m.row.get("hostId") in hosts for m in world.having("hostVnetMap", "vnetId", each.id)))
    return next(reached, None)
