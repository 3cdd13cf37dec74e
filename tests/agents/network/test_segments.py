"""What network.apply says is read whole or refused; what of an instance's nics is on networks that span hosts."""

from __future__ import annotations

from typing import Any

import pytest

from agents.network.segments import BadDocument, Nic, nics_of, read

SEGMENT: dict[str, Any] = {
    "number": 7, "network": 3, "uuid": "u7", "domain": "inner", "subnet": "10.42.0.0/24", "gateway": "10.42.0.1",
    "hosts": ["10.0.0.1", "10.0.0.2"],
    "endpoints": [
        {"instance": "i1", "name": "web", "address": "10.42.0.5", "mac": "02:00:01:00:00:05", "at": "10.0.0.2",
         "links": {"db": "10.42.0.6"}},
    ],
}  # fmt: skip


def told(*segments: dict[str, Any], position: int = 9) -> dict[str, Any]:
    return {"version": "v1", "position": position, "segments": list(segments)}


def test_a_document_is_read_whole() -> None:
    document = read(told(SEGMENT))
    [segment] = document.segments.values()
    assert (document.version, document.position, segment.bridge, segment.tunnel) == ("v1", 9, "corral-s7", "corral-v7")
    assert segment.peers("10.0.0.1") == {"10.0.0.2"}
    assert segment.endpoints[0].links == {"db": "10.42.0.6"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"subnet": "nowhere"}, "nowhere"),
        ({"gateway": "10.42"}, "10.42"),
        ({"number": None}, "NoneType"),
        ({"endpoints": [{"instance": "i1", "address": "web"}]}, "web"),
        ({"hosts": ["alpha"]}, "alpha"),
        ({"transport": "smoke"}, "smoke"),
    ],
)
def test_a_document_that_is_wrong_anywhere_is_refused_and_says_where(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadDocument, match=words):
        read(told({**SEGMENT, **wrong}))


@pytest.mark.parametrize(
    ("transport", "room", "mtu"),
    [(None, 1500, 1450), ("vxlan", 9000, 1450), ("vxlan", 1400, 1350), ("routes", 1500, 1500), ("routes", 9000, 9000)],
)
def test_a_tunnel_takes_its_share_of_every_packet_and_routes_do_not(transport: str | None, room: int, mtu: int) -> None:
    assert read(told({**SEGMENT, "transport": transport})).segments[7].mtu(room) == mtu


def test_the_gateway_has_one_mac_on_all_hosts_and_another_on_each_segment() -> None:
    one, again, other = (read(told({**SEGMENT, "uuid": uuid})).segments[7].gateway_mac for uuid in ("u7", "u7", "u8"))
    assert one == again != other
    assert int(one[:2], 16) & 3 == 2, "made by hand, and of one interface"


def nic(kind: str = "network", subnet: int | None = 7, address: str | None = "10.42.0.5") -> dict[str, Any]:
    addresses = [{"address": "8.8.8.8", "subnetId": None}, {"address": address, "subnetId": subnet}]
    return {"network": {"kind": kind, "name": "inner"}, "subnetId": subnet, "macAddress": "02:00:01:00:00:05", "ipAddresses": addresses}


def test_only_nics_with_an_address_of_a_subnet_on_a_network_that_spans_hosts_count() -> None:
    others = [nic("hostOnlyNetwork"), nic(subnet=None), nic(address=None), {"network": None}]
    assert nics_of({"nics": [*others, nic()]}) == [Nic(7, "inner", "10.42.0.5", "02:00:01:00:00:05")]
    assert nics_of({}) == nics_of({"nics": None}) == []
