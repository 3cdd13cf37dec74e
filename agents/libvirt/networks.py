"""libvirt's own virtual networks for the segments that Corral tells of: the same bridges as Docker's, with addresses and a way out by NAT.

No DHCP is there: a machine is told its address by its config drive. Where another engine of this host has made the bridge, that one is
used.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from xml.etree import ElementTree

from agents.driver import DriverError
from agents.libvirt.connection import Hypervisor, Libvirt, bindings
from agents.libvirt.xml import parsed
from agents.network.segments import Segment

NAMESPACE = "urn:corral:segment:1"
_BRIDGE = re.compile(r"corral-s([0-9]+)")


class LibvirtBridges:
    """agents.network's Bridges, by a libvirt."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    async def ensure(self, segment: Segment, mtu: int) -> None:
        await self._hypervisor.work(lambda connection: _ensure(connection, segment, mtu))

    async def present(self) -> set[int]:
        return await self._hypervisor.look(lambda connection: {number for number, _ in _ours(connection)})

    async def release(self, segment: int) -> bool:
        return await self._hypervisor.work(lambda connection: _release(connection, segment))


def network_xml(segment: Segment, mtu: int) -> str:
    subnet = ipaddress.IPv4Network(segment.subnet)
    root = ElementTree.Element("network")
    ElementTree.SubElement(root, "name").text = segment.bridge
    metadata = ElementTree.SubElement(root, "metadata")
    ElementTree.SubElement(metadata, f"{{{NAMESPACE}}}segment", {"number": str(segment.number), "uuid": segment.uuid})
    ElementTree.SubElement(root, "forward", {"mode": "nat"})
    ElementTree.SubElement(root, "bridge", {"name": segment.bridge, "stp": "off", "delay": "0"})
    ElementTree.SubElement(root, "mtu", {"size": str(mtu)})
    ElementTree.SubElement(root, "mac", {"address": segment.gateway_mac})
    ElementTree.SubElement(root, "dns", {"enable": "no"})  # names are the agent's to answer
    ElementTree.SubElement(root, "ip", {"address": segment.gateway, "netmask": str(subnet.netmask)})
    return ElementTree.tostring(root, encoding="unicode")


def _ensure(connection: Libvirt, segment: Segment, mtu: int) -> None:
    known = dict(_ours(connection)).get(segment.number)
    if known is not None and not (_is_as(known, segment) and _mtu(known) == mtu):
        if _release(connection, segment.number):
            known = None
        elif not _is_as(known, segment):
            raise DriverError(f"libvirt's network {segment.bridge} is of another subnet, and has machines: remove those")
    if known is None:
        if segment.bridge in (name for _, name in socket.if_nameindex()):
            return
        known = connection.networkDefineXML(network_xml(segment, mtu))
        known.setAutostart(True)
    if not known.isActive():
        try:
            known.create()
        except bindings().libvirtError as error:
            known.undefine()
            raise DriverError(f"libvirt can't make a network of {segment.subnet}: {error.get_error_message()}") from error


def _is_as(network: Libvirt, segment: Segment) -> bool:
    root = parsed(network.XMLDesc())
    described, ip = root.find(f"metadata/{{{NAMESPACE}}}segment"), root.find("ip")
    if described is None or ip is None:
        return False
    subnet = ipaddress.IPv4Interface(f"{ip.get('address')}/{ip.get('netmask')}").network
    return (described.get("uuid"), str(subnet), ip.get("address")) == (segment.uuid, segment.subnet, segment.gateway)


def _mtu(network: Libvirt) -> int | None:
    told = parsed(network.XMLDesc()).find("mtu")
    return None if told is None else int(told.get("size", ""))


def _release(connection: Libvirt, segment: int) -> bool:
    """Also a stopped machine is on it: without its bridge it could not be started again."""
    libvirt = bindings()
    for network in [known for number, known in _ours(connection) if number == segment]:
        bridge = network.bridgeName()
        for domain in connection.listAllDomains():
            sources = parsed(domain.XMLDesc()).findall("devices/interface/source")
            if any(bridge in (each.get("bridge"), each.get("network")) for each in sources):
                return False
        if network.isActive():
            network.destroy()
        try:
            network.undefine()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                raise
    return True


def _ours(connection: Libvirt) -> Iterator[tuple[int, Libvirt]]:
    for network in connection.listAllNetworks():
        named = _BRIDGE.fullmatch(network.name())
        if named is not None and parsed(network.XMLDesc()).find(f"metadata/{{{NAMESPACE}}}segment") is not None:
            yield int(named[1]), network
