"""This host's interfaces, as tunnels and routes of segments need them. Blocks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from agents.driver import DriverError
from agents.network.segments import Segment

MISSING, THERE, NO_RIGHT = 2, 17, 1  # ENOENT, EEXIST, EPERM


class NoWay(DriverError):
    """A segment can't be reached from here, or not reach out: the text says what to do."""


@contextmanager
def opened() -> Iterator[Any]:
    """What asks the kernel, and tells it."""
    with IPRoute() as netlink:
        yield netlink


def link(netlink: Any, name: str) -> Any | None:
    found = netlink.link_lookup(ifname=name)
    return netlink.get_links(found[0])[0] if found else None


def bridge_of(netlink: Any, segment: Segment) -> int:
    """Its index; it has the gateway's mac from here on."""
    bridge = link(netlink, segment.bridge)
    if bridge is None:
        raise NoWay(
            f"there is no interface {segment.bridge} in the network namespace of this agent: its engine runs elsewhere. "
            "Run the agent on the engine's own machine"
        )
    if bridge.get_attr("IFLA_ADDRESS") != segment.gateway_mac:
        netlink.link("set", index=bridge["index"], address=segment.gateway_mac)
    return int(bridge["index"])


def under(netlink: Any, underlay: str) -> Any:
    """The interface that has the host's own address."""
    for each in netlink.get_addr(family=socket.AF_INET):
        if underlay in (each.get_attr("IFA_LOCAL"), each.get_attr("IFA_ADDRESS")):
            return netlink.get_links(each["index"])[0]
    raise NoWay(f"no interface here has the address {underlay}, at which other hosts are to find this one: say which one by --host-ip")


@contextmanager
def ignoring(code: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != code:
            raise
