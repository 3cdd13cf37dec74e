"""The life of networks and of what instances have of them: nics, addresses, ports."""

from __future__ import annotations

from dataclasses import replace

from commands.catalogue.model import Child, Decide, Join, Process, Step
from commands.catalogue.processes.common import lifecycle
from commands.logic import addresses, docker, macs, nics, ports, vnets
from commands.resource import Resource


def is_single(address: Resource) -> bool:
    """Not tied to another address just now: such a one is active in its own way."""
    return address.state not in ("associating", "associated", "disassociating")


ADDRESSES_GO: tuple[Step, ...] = (
    Child("ipAddress", nics.ever_mapped, "ipaddress.deactivate", removed=True, ignore_invalid=True),
    Child("ipAddress", nics.ever_mapped, "ipaddress.remove", removed=True, ignore_invalid=True),
    Child("ipAddressNicMap", "nicId", "ipaddressnicmap.deactivate", removed=True, ignore_invalid=True),
    Child("ipAddressNicMap", "nicId", "ipaddressnicmap.remove", removed=True, ignore_invalid=True),
)

NIC = lifecycle(
    "nic",
    by_default=False,
    activate=(
        Join(vnets.to_join, "vnet.activate"),
        Join(vnets.host_maps, "hostvnetmap.activate"),
        Join(vnets.subnet_maps, "subnetvnetmap.activate"),
        Join(nics.network, "network.activate"),
        Decide(vnets.use),
        Join(nics.vnet, "vnet.activate"),
        Decide(nics.ensure_address),
        Child("ipAddress", nics.primary, "ipaddress.create", ignore_invalid=True),
        Child("ipAddress", nics.primary, "ipaddress.activate", when=is_single),
        Decide(macs.lease),
    ),
    deactivate=(Child("ipAddress", nics.dockers, "ipaddress.deactivate", ignore_invalid=True),),
    purge=(*ADDRESSES_GO, Decide(macs.release)),
)

IP_ADDRESS = [
    replace(each, chain=addresses.after_deactivate) if each.verb == "deactivate" else each
    for each in lifecycle("ipAddress", activate=(Decide(addresses.lease),), deactivate=(Decide(addresses.release),))
]

PROCESSES: list[Process] = [
    *lifecycle("network", activate=(Decide(macs.lease_prefix),), purge=(Decide(macs.release_prefix),)),
    *lifecycle("subnet", create=(Decide(addresses.fill_range),)),
    *lifecycle("vnet", remove=(Decide(vnets.leave_spot),)),
    *lifecycle("subnetVnetMap", remove=(Decide(vnets.leave_subnet),)),
    *lifecycle("hostVnetMap", remove=(Decide(vnets.leave_host),)),
    *NIC,
    *IP_ADDRESS,
    *lifecycle("ipAddressNicMap"),
    *lifecycle("hostIpAddressMap", remove=(Decide(docker.leave_host),)),
    *lifecycle("port", by_default=False, activate=(Decide(ports.take_addresses),), remove=(Decide(ports.forget_addresses),)),
    *lifecycle("networkService"),
    *lifecycle("networkServiceProvider"),
    *lifecycle("networkServiceProviderInstanceMap"),
    *lifecycle("ipPool"),
    *lifecycle("ipAssociation", by_default=False),
    *lifecycle("instanceLink", by_default=False),
]
