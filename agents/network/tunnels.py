"""The tunnels between hosts: one VXLAN device a segment, in the segment's bridge, with what the document says of its other ends. Blocks.

    container -- bridge (gateway's address and mac, the same on all hosts) -- tunnel ==VXLAN over the hosts' own network== tunnel -- ...

Nothing is learned from traffic: where an instance is, the document says (an entry for its mac in the bridge and in the tunnel), so that
one that moves is found as soon as the others are told. What is for all, or for a mac that is not known yet, goes to every peer. The
gateway's address stays on its host: the bridge asks no tunnel for it (neigh_suppress).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.network.interfaces import MISSING, THERE, NoWay, ignoring, link, under
from agents.network.segments import Segment, tunnel_of

PORT = 4789
"""UDP, of VXLAN (RFC 7348)."""

FOR_ALL = "00:00:00:00:00:00"

NUD_PERMANENT, NUD_NOARP = 0x80, 0x40
NTF_SELF, NTF_MASTER = 0x02, 0x04


def ensure(netlink: Any, bridge: int, segment: Segment, underlay: str) -> None:
    """Raises NoWay."""
    tunnel = link(netlink, segment.tunnel)
    if not segment.peers(underlay):
        if tunnel is not None:
            netlink.link("del", index=tunnel["index"])
        return
    if tunnel is not None and not _is_ours(tunnel, segment, underlay):
        netlink.link("del", index=tunnel["index"])
        tunnel = None
    index = tunnel["index"] if tunnel is not None else _make(netlink, segment, underlay)
    netlink.link("set", index=index, master=bridge, state="up")
    netlink.brport("set", index=index, learning=0, neigh_suppress=1)
    _fill(netlink, index, segment, underlay)


def remove(netlink: Any, number: int) -> None:
    """The segment's tunnel, if it is there."""
    if (found := link(netlink, tunnel_of(number))) is not None:
        netlink.link("del", index=found["index"])


def _make(netlink: Any, segment: Segment, underlay: str) -> int:
    interface = under(netlink, underlay)
    netlink.link(
        "add", ifname=segment.tunnel, kind="vxlan", vxlan_id=segment.number, vxlan_local=underlay, vxlan_port=PORT, vxlan_learning=0,
        vxlan_link=interface["index"], mtu=segment.mtu(interface.get_attr("IFLA_MTU")),
    )  # fmt: skip
    made = link(netlink, segment.tunnel)
    if made is None:
        raise NoWay(f"the tunnel {segment.tunnel} was made and is gone: somebody removes interfaces of this host")
    return int(made["index"])


def _is_ours(tunnel: Any, segment: Segment, underlay: str) -> bool:
    told = tunnel.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    return told is not None and (told.get_attr("IFLA_VXLAN_ID"), told.get_attr("IFLA_VXLAN_LOCAL")) == (segment.number, underlay)


def _fill(netlink: Any, index: int, segment: Segment, underlay: str) -> None:
    """What is wanted and missing is added, what is there and not wanted is removed."""
    there = {each.mac: each.at for each in segment.endpoints if each.mac and each.at not in (None, underlay)}
    wanted = {(FOR_ALL, peer) for peer in segment.peers(underlay)} | set(there.items())
    present = set(_tunnel_entries(netlink, index))
    for mac, at in wanted - present:
        with ignoring(THERE):
            # Several for all; for one mac only the newest, which replaces the one of before.
            netlink.fdb("append" if mac == FOR_ALL else "replace", ifindex=index, lladdr=mac, dst=at, state=NUD_PERMANENT, flags=NTF_SELF)
    for mac, at in present - wanted:
        if mac == FOR_ALL or mac not in there:
            with ignoring(MISSING):
                netlink.fdb("del", ifindex=index, lladdr=mac, dst=at, flags=NTF_SELF)
    known = set(_bridge_entries(netlink, index))
    for mac in there.keys() - known:
        with ignoring(THERE):
            netlink.fdb("replace", ifindex=index, lladdr=mac, state=NUD_NOARP, flags=NTF_MASTER)
    for mac in known - there.keys():
        with ignoring(MISSING):
            netlink.fdb("del", ifindex=index, lladdr=mac, flags=NTF_MASTER)


def _tunnel_entries(netlink: Any, index: int) -> Iterator[tuple[str, str]]:
    for each in netlink.fdb("dump", ifindex=index):
        if each["ifindex"] == index and (at := each.get_attr("NDA_DST")) is not None:
            yield each.get_attr("NDA_LLADDR"), at


def _bridge_entries(netlink: Any, index: int) -> Iterator[str]:
    """Those that lead into the tunnel; not the tunnel's own mac."""
    for each in netlink.fdb("dump", ifindex=index):
        if each["ifindex"] == index and each.get_attr("NDA_MASTER") is not None and each["state"] & NUD_PERMANENT == 0:
            yield each.get_attr("NDA_LLADDR")
