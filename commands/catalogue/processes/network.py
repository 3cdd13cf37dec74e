"""The life of networks and of what instances have of them: nics, addresses, ports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from commands.catalogue.model import LAST, PRIORITIES, Await, Child, Decide, Join, Logic, Process, Step
from commands.catalogue.processes.common import Phases, leave_place, lifecycle
from commands.logic import addresses, agent_instances, ipsec, links, macs, nics, pools, ports, vnets
from commands.resource import Resource
from commands.turns.turn import Turn


def is_single(address: Resource) -> bool:
    """Not tied to another address just now: such a one is active in its own way."""
    return address.state not in ("associating", "associated", "disassociating")


def gives_back(name: str, decide: Callable[[Turn, Resource], None]) -> Logic:
    """What was claimed is released, once nothing can wait after it any more, also where an external handler stands in for the rest."""
    return Logic(name, (Decide(decide),), LAST, always=True)


ADDRESSES_GO: tuple[Step, ...] = (
    Child("ipAddress", nics.ever_mapped, "ipaddress.disassociate", removed=True, ignore_invalid=True),
    Child("ipAddress", nics.ever_mapped, "ipaddress.deactivate", removed=True, ignore_invalid=True),
    Child("ipAddress", nics.ever_mapped, "ipaddress.remove", removed=True, ignore_invalid=True),
    Child("ipAddressNicMap", "nicId", "ipaddressnicmap.deactivate", removed=True, ignore_invalid=True),
    Child("ipAddressNicMap", "nicId", "ipaddressnicmap.remove", removed=True, ignore_invalid=True),
)

STAYS_IN_USE = (Logic("StaysInUse", (Decide(addresses.may_go),), 0),)

HOST_ONLY = Logic(
    "HostOnlyNicActivate",
    (
        Join(vnets.to_join, "vnet.activate"),
        Join(vnets.host_maps, "hostvnetmap.activate"),
        Join(vnets.subnet_maps, "subnetvnetmap.activate"),
        Decide(vnets.use_hosts),
    ),
)

PUBLIC_ADDRESS = Logic(
    "CreateInstanceAssociatePublicIpAddress",
    (
        Decide(pools.give_public),
        Child("ipAddress", pools.public_of, "ipaddress.create", ignore_invalid=True),
        Child("ipAddress", pools.public_of, "ipaddress.activate", when=is_single, ignore_invalid=True),
        Child("ipAddress", pools.public_of, "ipaddress.associate", ignore_invalid=True),
    ),
    PRIORITIES["pre"],
)

NIC = lifecycle(
    "nic",
    by_default=False,
    activate=Phases(
        pre=(Logic("AgentInstanceIpsecNicActivate", (Decide(ipsec.lease_ports),)), HOST_ONLY),
        handlers=(
            Join(nics.network, "network.activate"),
            Decide(vnets.use_subnets),
            Join(nics.vnet, "vnet.activate"),
            Decide(nics.ensure_address),
            Child("ipAddress", nics.primary, "ipaddress.create", ignore_invalid=True),
            Child("ipAddress", nics.primary, "ipaddress.activate", when=is_single),
            Decide(macs.lease),
        ),
        post=(PUBLIC_ADDRESS, Logic("AgentInstanceApplyItems", (Decide(agent_instances.ensure),))),
    ),
    deactivate=Phases(
        handlers=(Logic("DockerNicDeactivate", (Child("ipAddress", nics.dockers, "ipaddress.deactivate", ignore_invalid=True),)),),
        post=(Logic("AgentInstanceIpsecNicDeactivate", (Decide(ipsec.release_ports),)),),
    ),
    purge=Phases(pre=STAYS_IN_USE, handlers=(*ADDRESSES_GO, gives_back("MacAddressNicPurge", macs.release))),
)

FREES_ADDRESS = gives_back("IpAddressDeactivate", addresses.release)
"""By its deactivation; where its removal was forced, by its purge, or by its return, inactive as it is then."""

ADDRESS_LIFE = lifecycle(
    "ipAddress",
    create=(Decide(pools.choose_subnet),),
    activate=(Decide(addresses.lease),),
    deactivate=(FREES_ADDRESS,),
    restore=(FREES_ADDRESS,),
    purge=Phases(
        pre=STAYS_IN_USE,
        handlers=(
            Child("ipAddress", pools.released_with, "ipaddress.disassociate", ignore_invalid=True),
            Child("ipAddress", pools.released_with, "ipaddress.deactivate", ignore_invalid=True),
            Child("ipAddress", pools.released_with, "ipaddress.remove", ignore_invalid=True),
            FREES_ADDRESS,
        ),
    ),
)

IP_ADDRESS = [
    *(replace(each, chain=addresses.after_deactivate) if each.verb == "deactivate" else each for each in ADDRESS_LIFE),
    Process(
        "ipaddress.associate", "ipAddress", ("active",), "associating", "associated",
        handlers=(
            Decide(pools.tie),
            Child("ipAssociation", "ipAddressId", "ipassociation.activate", ignore_invalid=True),
        ),
    ),
    Process(
        "ipaddress.disassociate", "ipAddress", ("associating", "associated"), "disassociating", "active",
        handlers=(
            Child("ipAssociation", "ipAddressId", "ipassociation.deactivate", ignore_invalid=True),
            Child("ipAssociation", "ipAddressId", "ipassociation.remove", ignore_invalid=True),
        ),
    ),
]

FOLLOW = Logic("AgentInstanceLinkActivate", (Await(links.target_ran), Decide(links.lead)), PRIORITIES["default"], continues=True)

INSTANCE_LINK = lifecycle(
    "instanceLink", by_default=False, activate=(FOLLOW,), purge=(gives_back("AgentInstanceLinkPurge", links.release),),
    update=Phases(post=(Logic("AgentInstanceApplyItems", (Decide(links.lead),)),)),
)

PROCESSES: list[Process] = [
    *lifecycle(
        "network",
        activate=Phases(pre=(Logic("MacAddressNetworkActivate", (Decide(macs.lease_prefix),), PRIORITIES["default"]),)),
        purge=(gives_back("MacAddressNetworkPurge", macs.release_prefix),),
    ),
    *lifecycle("subnet", create=(Decide(addresses.fill_range),)),
    *lifecycle("vnet", remove=(gives_back("VnetLeavesHosts", leave_place),)),
    *lifecycle("subnetVnetMap", remove=(gives_back("SubnetVnetMapLeaves", leave_place),)),
    *lifecycle("hostVnetMap", remove=(gives_back("HostVnetMapLeaves", leave_place),)),
    *NIC,
    *IP_ADDRESS,
    *lifecycle("ipAddressNicMap"),
    *lifecycle("hostIpAddressMap", remove=(gives_back("HostIpAddressMapLeaves", leave_place),)),
    *lifecycle("port", by_default=False, activate=(Decide(ports.take_addresses),), remove=(Decide(ports.forget_addresses),)),
    *lifecycle("networkService", create=Phases(post=(Logic("AgentInstanceIpsecNetworkServiceCreate", (Decide(ipsec.make_key),)),))),
    *lifecycle("networkServiceProvider"),
    *lifecycle(
        "networkServiceProviderInstanceMap", remove=(gives_back("NetworkServiceProviderInstanceMapLeaves", agent_instances.leave_vnet),)
    ),
    *lifecycle(
        "ipPool",
        create=(Logic("IpPoolCreate", (Decide(pools.make_subnet),)),),
        remove=(Logic("IpPoolRemove", (Join(pools.active_subnets, "subnet.deactivate"), Join(pools.subnets, "subnet.remove"))),),
    ),
    *lifecycle("ipAssociation", by_default=False),
    *INSTANCE_LINK,
]
