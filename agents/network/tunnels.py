"""The tunnels between hosts: one VXLAN device a segment, in the segment's bridge, with what the document says of its other ends. Blocks.

    container -- bridge (gateway's address and mac, the same on all hosts) -- tunnel ==VXLAN over the hosts' own network== tunnel -- ...

Nothing is learned from traffic: where an instance is, the document says (an entry for its mac in the bridge and in the tunnel), so that
one that moves is found as soon as the others are told. What is for all, or for a mac that is not known yet, goes to every peer. The
gateway's address stays on its host: the bridge asks no tunnel for it (neigh_suppress).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from agents.driver import DriverError
from agents.network.segments import Segment, tunnel_of

log = structlog.get_logger("corral.agent.network")

PORT = 4789
"""UDP, of VXLAN (RFC 7348)."""

FOR_ALL = "00:00:00:00:00:00"

OVERHEAD = 50
MTU = 1500 - OVERHEAD
"""Bytes: what a tunnel over IPv4 leaves of Ethernet's."""

NUD_PERMANENT, NUD_NOARP = 0x80, 0x40
NTF_SELF, NTF_MASTER = 0x02, 0x04

_MISSING, _THERE, _NO_RIGHT = 2, 17, 1  # ENOENT, EEXIST, EPERM


class NoTunnel(DriverError):
    """A segment can't be reached from here, or not reach out: the text says what to do."""


def ensure(segment: Segment, underlay: str) -> None:
    """Brings bridge and tunnel to where they should be. Raises NoTunnel, where the segment spans hosts; one that lives on this host
    alone needs no right beyond the engine's."""
    try:
        with _routes() as routes:
            _ensure(routes, segment, underlay)
    except (NoTunnel, NetlinkError, OSError) as error:
        if segment.peers(underlay):
            raise NoTunnel(_said(segment, underlay, error)) from error
        log.debug("A segment of this host alone stays as it is", action="tunnel-spared", segment=segment.number, error=str(error))


def mtu(underlay: str) -> int:
    """Of what goes through tunnels from here."""
    try:
        with _routes() as routes:
            return min(MTU, _under(routes, underlay)[1] - OVERHEAD)
    except (NoTunnel, NetlinkError, OSError):
        return MTU


def remove(number: int) -> None:
    """The segment's tunnel, if it is there."""
    name = tunnel_of(number)
    try:
        with _routes() as routes:
            if (found := _link(routes, name)) is not None:
                routes.link("del", index=found["index"])
    except (NetlinkError, OSError) as error:
        if getattr(error, "code", None) != _NO_RIGHT:
            raise NoTunnel(f"the tunnel {name} can't be removed: {error}") from error


def _ensure(routes: Any, segment: Segment, underlay: str) -> None:
    bridge = _link(routes, segment.bridge)
    if bridge is None:
        raise NoTunnel(
            f"there is no interface {segment.bridge} in the network namespace of this agent: its engine runs elsewhere. "
            "Run the agent on the engine's own machine"
        )
    if bridge.get_attr("IFLA_ADDRESS") != segment.gateway_mac:
        routes.link("set", index=bridge["index"], address=segment.gateway_mac)
    tunnel = _link(routes, segment.tunnel)
    if not segment.peers(underlay):
        if tunnel is not None:
            routes.link("del", index=tunnel["index"])
        return
    if tunnel is not None and not _is_ours(tunnel, segment, underlay):
        routes.link("del", index=tunnel["index"])
        tunnel = None
    index = tunnel["index"] if tunnel is not None else _make(routes, segment, underlay)
    routes.link("set", index=index, master=bridge["index"], state="up")
    routes.brport("set", index=index, learning=0, neigh_suppress=1)
    _fill(routes, index, segment, underlay)


def _make(routes: Any, segment: Segment, underlay: str) -> int:
    interface, room = _under(routes, underlay)
    routes.link(
        "add", ifname=segment.tunnel, kind="vxlan", vxlan_id=segment.number, vxlan_local=underlay, vxlan_port=PORT, vxlan_learning=0,
        vxlan_link=interface, mtu=min(MTU, room - OVERHEAD),
    )  # fmt: skip
    made = _link(routes, segment.tunnel)
    if made is None:
        raise NoTunnel(f"the tunnel {segment.tunnel} was made and is gone: somebody removes interfaces of this host")
    return int(made["index"])


def _under(routes: Any, underlay: str) -> tuple[int, int]:
    """(index, mtu) of the interface that has the host's own address."""
    for each in routes.get_addr(family=socket.AF_INET):
        if underlay in (each.get_attr("IFA_LOCAL"), each.get_attr("IFA_ADDRESS")):
            link = routes.get_links(each["index"])[0]
            return int(each["index"]), int(link.get_attr("IFLA_MTU"))
    raise NoTunnel(f"no interface here has the address {underlay}, at which other hosts are to find this one: say which one by --host-ip")


def _is_ours(tunnel: Any, segment: Segment, underlay: str) -> bool:
    told = tunnel.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    return told is not None and (told.get_attr("IFLA_VXLAN_ID"), told.get_attr("IFLA_VXLAN_LOCAL")) == (segment.number, underlay)


def _fill(routes: Any, index: int, segment: Segment, underlay: str) -> None:
    """What is wanted and missing is added, what is there and not wanted is removed."""
    there = {each.mac: each.at for each in segment.endpoints if each.mac and each.at not in (None, underlay)}
    wanted = {(FOR_ALL, peer) for peer in segment.peers(underlay)} | set(there.items())
    present = set(_tunnel_entries(routes, index))
    for mac, at in wanted - present:
        with _ignoring(_THERE):
            # Several for all; for one mac only the newest, which replaces the one of before.
            routes.fdb("append" if mac == FOR_ALL else "replace", ifindex=index, lladdr=mac, dst=at, state=NUD_PERMANENT, flags=NTF_SELF)
    for mac, at in present - wanted:
        if mac == FOR_ALL or mac not in there:
            with _ignoring(_MISSING):
                routes.fdb("del", ifindex=index, lladdr=mac, dst=at, flags=NTF_SELF)
    known = set(_bridge_entries(routes, index))
    for mac in there.keys() - known:
        with _ignoring(_THERE):
            routes.fdb("replace", ifindex=index, lladdr=mac, state=NUD_NOARP, flags=NTF_MASTER)
    for mac in known - there.keys():
        with _ignoring(_MISSING):
            routes.fdb("del", ifindex=index, lladdr=mac, flags=NTF_MASTER)


def _tunnel_entries(routes: Any, index: int) -> Iterator[tuple[str, str]]:
    for each in routes.fdb("dump", ifindex=index):
        if each["ifindex"] == index and (at := each.get_attr("NDA_DST")) is not None:
            yield each.get_attr("NDA_LLADDR"), at


def _bridge_entries(routes: Any, index: int) -> Iterator[str]:
    """Those that lead into the tunnel; not the tunnel's own mac."""
    for each in routes.fdb("dump", ifindex=index):
        if each["ifindex"] == index and each.get_attr("NDA_MASTER") is not None and each["state"] & NUD_PERMANENT == 0:
            yield each.get_attr("NDA_LLADDR")


def _link(routes: Any, name: str) -> Any | None:
    found = routes.link_lookup(ifname=name)
    return routes.get_links(found[0])[0] if found else None


@contextmanager
def _routes() -> Iterator[Any]:
    with IPRoute() as routes:
        yield routes


@contextmanager
def _ignoring(code: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != code:
            raise


def _said(segment: Segment, underlay: str, error: Exception) -> str:
    others = ", ".join(sorted(segment.peers(underlay)))
    reason = str(error)
    if getattr(error, "code", None) == _NO_RIGHT or isinstance(error, PermissionError):
        reason = "this agent may not make interfaces: run it as root, or with the capability NET_ADMIN"
    return f"subnet {segment.subnet} has instances on other hosts ({others}), and can't be joined to them here: {reason}"
