"""What an agent is told of networks (network.apply), and what of it concerns one instance: read from JSON, looked at. Pure.

A segment is a subnet of a network: a bridge of its own on every host where an instance of it lives. The document holds all segments of
an agent's hosts, and is put into force as a whole; the next one replaces it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.wire import NETWORK_APPLY, ROUTES, SPANNING, TRANSPORT, TRANSPORTS

ETHERNET = 1500
OVERHEAD = 50
"""Bytes: an Ethernet's, and what a tunnel over IPv4 takes of them."""


class BadDocument(ValueError):
    """The document can't be understood: the text says where."""


def bridge_of(segment: int) -> str:
    """The interface to which a segment's instances are tied."""
    return f"corral-s{segment}"


def tunnel_of(segment: int) -> str:
    """The interface through which a segment reaches other hosts."""
    return f"corral-v{segment}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An instance on a segment. `at`: the address of the host that it is on; None: it is on none just now. `links`: name of a link of its
    -> the target's address."""

    instance: str
    name: str
    address: str
    mac: str = ""
    at: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Segment:
    """`number`: the subnet's id, and the tunnel's (VNI). `hosts`: the addresses of all that take part, this one's among them. `routed`: by
    plain routes between them, and no tunnels."""

    number: int
    network: int
    uuid: str
    domain: str
    subnet: str
    gateway: str
    hosts: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    routed: bool = False

    @property
    def bridge(self) -> str:
        """Of the interface, and of the engine's network."""
        return bridge_of(self.number)

    @property
    def tunnel(self) -> str:
        return tunnel_of(self.number)

    @property
    def gateway_mac(self) -> str:
        """The gateway has one address and one mac on all hosts: whoever moves finds it as it was."""
        return "02:c0:" + ":".join(f"{byte:02x}" for byte in hashlib.sha256(self.uuid.encode()).digest()[:4])

    def peers(self, underlay: str) -> set[str]:
        """The other hosts, as seen from one."""
        return {*self.hosts} - {underlay}

    def mtu(self, room: int) -> int:
        """Bytes of what goes through the bridge, where the hosts' own network takes `room`."""
        return room if self.routed else min(ETHERNET, room) - OVERHEAD


@dataclass(frozen=True, slots=True)
class Document:
    """`version`: a hash of what it says. `position`: of the log as it was built from; a lower one is older."""

    version: str = ""
    position: int = 0
    segments: Mapping[int, Segment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Nic:
    """One of an instance that is about to start."""

    segment: int
    network: str
    address: str
    mac: str


def read(data: Mapping[str, Any]) -> Document:
    """Raises BadDocument."""
    try:
        segments = [_segment(each) for each in data["segments"]]
        return Document(str(data["version"]), int(data["position"]), {each.number: each for each in segments})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadDocument(f"{NETWORK_APPLY} can't be understood: {error!r}") from None


def _segment(data: Mapping[str, Any]) -> Segment:
    network = ipaddress.IPv4Network(data["subnet"])
    return Segment(
        int(data["number"]), int(data["network"]), str(data["uuid"]), str(data.get("domain") or ""), str(network),
        _address(data["gateway"]), tuple(map(_address, data.get("hosts") or ())), tuple(map(_endpoint, data.get("endpoints") or ())),
        _routed(data.get(TRANSPORT)),
    )  # fmt: skip


def _routed(transport: Any) -> bool:
    if transport not in (None, *TRANSPORTS):
        raise ValueError(f"{TRANSPORT} {transport!r} is not one of {', '.join(TRANSPORTS)}")
    return bool(transport == ROUTES)


def _endpoint(data: Mapping[str, Any]) -> Endpoint:
    links = {str(name): _address(to) for name, to in (data.get("links") or {}).items()}
    at = data.get("at")
    return Endpoint(
        str(data["instance"]), str(data.get("name") or ""), _address(data["address"]), str(data.get("mac") or ""),
        None if at is None else _address(at), links,
    )  # fmt: skip


def _address(text: Any) -> str:
    return str(ipaddress.IPv4Address(text))


def nics_of(instance: Mapping[str, Any]) -> list[Nic]:
    """Those of an instance's tree that have an address of Corral's on a network that spans hosts."""
    found = []
    for nic in instance.get("nics") or ():
        network, subnet = nic.get("network") or {}, nic.get("subnetId")
        if network.get("kind") != SPANNING or subnet is None:
            continue
        mine = next((each for each in nic.get("ipAddresses") or () if each.get("subnetId") == subnet and each.get("address")), None)
        if mine is not None:
            found.append(Nic(int(subnet), str(network.get("name") or network.get("id")), mine["address"], str(nic.get("macAddress") or "")))
    return found
