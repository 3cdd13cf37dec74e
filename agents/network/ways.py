"""The ways between a segment's hosts, made and taken away: tunnels, or where its network says so plain routes. Blocks.

    a segment -> its bridge, which the engine made -> tunnels | routes, and nothing left of the other
"""

from __future__ import annotations

import structlog
from pyroute2.netlink.exceptions import NetlinkError

from agents.network import routes, tunnels
from agents.network.interfaces import NO_RIGHT, NoWay, bridge_of, opened, under
from agents.network.segments import ETHERNET, Document, Segment

log = structlog.get_logger("corral.agent.network")


def ensure(segment: Segment, underlay: str) -> None:
    """Brings bridge and ways to where they should be. Raises NoWay, where the segment spans hosts; one that lives on this host alone
    needs no right beyond the engine's."""
    try:
        with opened() as netlink:
            bridge = bridge_of(netlink, segment)
            if segment.routed:  # what it had before goes when the new way is there
                routes.ensure(netlink, bridge, segment, underlay)
                tunnels.remove(netlink, segment.number)
            else:
                tunnels.ensure(netlink, bridge, segment, underlay)
                routes.remove(netlink, segment.number)
    except (NoWay, NetlinkError, OSError) as error:
        if segment.peers(underlay):
            raise NoWay(_said(segment, underlay, error)) from error
        log.debug("A segment of this host alone stays as it is", action="way-spared", segment=segment.number, error=str(error))


def room(underlay: str) -> int:
    """Bytes that a packet from here may have on the hosts' own network."""
    try:
        with opened() as netlink:
            return int(under(netlink, underlay).get_attr("IFLA_MTU"))
    except (NoWay, NetlinkError, OSError):
        return ETHERNET


def remove(number: int) -> None:
    """The segment's ways, if they are there."""
    try:
        with opened() as netlink:
            tunnels.remove(netlink, number)
            routes.remove(netlink, number)
    except (NetlinkError, OSError) as error:
        if getattr(error, "code", None) != NO_RIGHT:
            raise NoWay(f"the ways of segment {number} to other hosts can't be removed: {error}") from error


def sweep(document: Document, *, whole: bool) -> None:
    """Takes routes and rules away that an agent of before has left. `whole`: looks at the firewall, too, where no route tells of them."""
    try:
        with opened() as netlink:
            for number in routes.strays(netlink, document, whole=whole):
                log.warning("Routes of a segment that is not here any more are removed", action="routes-swept", segment=number)
                routes.remove(netlink, number, surely=True)
    except (NoWay, NetlinkError, OSError) as error:
        log.debug("What is left of routes can't be seen", action="routes-unseen", error=str(error))


def _said(segment: Segment, underlay: str, error: Exception) -> str:
    others = ", ".join(sorted(segment.peers(underlay)))
    reason = str(error)
    if getattr(error, "code", None) == NO_RIGHT or isinstance(error, PermissionError):
        reason = "this agent may not make interfaces and routes: run it as root, or with the capability NET_ADMIN"
    return f"subnet {segment.subnet} has instances on other hosts ({others}), and can't be joined to them here: {reason}"
