"""Names are answered by who asks: instances of the same networks, and the links of the asker's own."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from agents.network.names import Names, answer, nameservers
from agents.network.responder import MOST_FORWARDED, MOST_OF_ONE, Responder
from agents.network.segments import Document, Endpoint, Segment

WEB, DB, AWAY = "10.42.0.5", "10.42.0.6", "10.43.0.7"
BOTH, BOTHS_OTHER = "10.42.0.20", "10.43.0.20"


def document() -> Document:
    ends = (Endpoint("i1", "Web", WEB, links={"Store": DB}), Endpoint("i2", "db", DB), Endpoint("i3", "db", "10.42.0.9"))
    dotted = Endpoint("i5", "bank.example", "10.42.0.66")
    both = Endpoint("i6", "gate", BOTH, links={"far": AWAY}), Endpoint("i6", "gate", BOTHS_OTHER, links={"far": AWAY})
    inner = Segment(7, 3, "u7", "inner", "10.42.0.0/24", "10.42.0.1", endpoints=(*ends, dotted, both[0]))
    outer = Segment(8, 4, "u8", "outer", "10.43.0.0/24", "10.43.0.1", endpoints=(Endpoint("i4", "away", AWAY), both[1]))
    return Document("v1", 1, {7: inner, 8: outer})


def asked(asker: str, name: str, kind: str = "A") -> list[str] | None:
    """The records; None: it is for others to answer."""
    reply = answer(Names(document()), asker, dns.message.make_query(name, kind))
    return None if reply is None else [record.to_text() for rrset in reply.answer for record in rrset]


@pytest.mark.parametrize(
    ("asker", "name", "addresses"),
    [
        (DB, "web", [WEB]),
        (DB, "WEB.", [WEB]),
        (DB, "web.inner", [WEB]),
        (WEB, "db", [DB, "10.42.0.9"]),
        (WEB, "store", [DB]),
        (DB, "store", None),
        (DB, "away", None),
        (AWAY, "web", None),
        ("10.9.9.9", "web", None),
        (DB, "example.com", None),
        (DB, "bank.example", None),
        (DB, "bank.example.inner", ["10.42.0.66"]),
        (DB, "gate", [BOTH]),
        (AWAY, "gate", [BOTHS_OTHER]),
        (BOTH, "web", [WEB]),
        (BOTH, "away", [AWAY]),
        (BOTH, "gate.outer", [BOTHS_OTHER]),
        (BOTHS_OTHER, "far", [AWAY]),
    ],
)
def test_a_name_means_what_the_asker_may_meet(asker: str, name: str, addresses: list[str] | None) -> None:
    assert asked(asker, name) == addresses


def test_a_known_name_has_no_other_records_and_is_still_known() -> None:
    assert asked(DB, "web", "AAAA") == []
    assert asked(DB, "nobody", "AAAA") is None


def test_an_address_has_a_name_for_those_of_its_network() -> None:
    assert asked(DB, "5.0.42.10.in-addr.arpa", "PTR") == ["Web."]
    assert asked(AWAY, "5.0.42.10.in-addr.arpa", "PTR") is None
    assert asked(BOTH, "7.0.43.10.in-addr.arpa", "PTR") == ["away."]
    assert asked(DB, "20.0.42.10.in-addr.arpa", "PTR") == ["gate."]
    assert asked(DB, "20.0.43.10.in-addr.arpa", "PTR") is None
    assert asked(DB, "web", "PTR") is None


def test_nameservers_are_read_off_a_resolv_conf() -> None:
    assert nameservers("# x\nnameserver 10.0.0.53\noptions ndots:0\nnameserver\nsearch a\nnameserver  ::1\n") == ["10.0.0.53", "::1"]


async def test_the_responder_answers_over_udp_and_tcp_and_says_when_nobody_knows(tmp_path: Path) -> None:
    responder = Responder(tmp_path / "none", port := free_port())
    responder.tell(on_loopback("web"))
    await responder.listen(["127.0.0.1"])
    await responder.listen(["127.0.0.1"])
    assert responder.listens("127.0.0.1")
    try:
        for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
            reply = await ask(dns.message.make_query("web", "A"), "127.0.0.1", port=port, timeout=10)
            assert [record.to_text() for rrset in reply.answer for record in rrset] == ["127.0.0.1"]
        reply = await dns.asyncquery.udp(dns.message.make_query("example.com", "A"), "127.0.0.1", port=port, timeout=10)
        assert reply.rcode() == dns.rcode.SERVFAIL
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rubbish:
            rubbish.sendto(b"rubbish", ("127.0.0.1", port))
        reply = await dns.asyncquery.udp(dns.message.make_query("web", "A"), "127.0.0.1", port=port, timeout=10)
        assert reply.answer, "it goes on after rubbish"
    finally:
        await responder.close()
    assert not responder.listens("127.0.0.1")


async def test_one_asker_takes_neither_names_nor_files_from_all_others(tmp_path: Path) -> None:
    """Over TCP it holds no more than its share of connections; over UDP its questions that nobody answers fill nothing but its share."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\n")
    responder = Responder(conf, port := free_port())
    responder.tell(on_loopback("web"))
    await responder.listen(["127.0.0.1"])
    question = dns.message.make_query("web", "A")
    try:
        async with asyncio.timeout(20):
            held = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(MOST_OF_ONE)]
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            assert await reader.read() == b""
            reply = await dns.asyncquery.tcp(question, "127.0.0.1", port=port, timeout=10)
            assert reply.answer, "another asker is served"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
                flood.bind(("127.0.0.2", 0))
                for _ in range(2 * MOST_FORWARDED):
                    flood.sendto(dns.message.make_query("nobody.example", "A").to_wire(), ("127.0.0.1", port))
                    await asyncio.sleep(0)
                reply = await dns.asyncquery.udp(question, "127.0.0.1", port=port, timeout=10)
                assert reply.answer, "another asker is served"
            for _, each in (*held, (reader, writer)):
                each.close()
    finally:
        await responder.close()


async def test_what_is_not_an_instance_is_asked_of_the_hosts_own_servers(tmp_path: Path) -> None:
    upstream, port = Responder(tmp_path / "none", 53), free_port()
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.99\nnameserver 127.0.0.98\n")
    responder = Responder(conf, port)
    assert responder.others() == []
    upstream.tell(on_loopback("far"))
    await upstream.listen(["127.0.0.98"])
    if not upstream.listens("127.0.0.98"):
        pytest.skip("port 53 is for root alone")
    await responder.listen(["127.0.0.1"])
    try:
        reply = await dns.asyncquery.udp(dns.message.make_query("far", "A"), "127.0.0.1", port=port, timeout=20)
        assert [record.to_text() for rrset in reply.answer for record in rrset] == ["127.0.0.1"]
    finally:
        await responder.close()
        await upstream.close()


async def test_an_address_of_nobody_can_not_be_listened_on_and_stops_nothing(tmp_path: Path) -> None:
    responder = Responder(tmp_path / "none", free_port())
    await responder.listen(["192.0.2.1", "127.0.0.1"])
    assert (responder.listens("192.0.2.1"), responder.listens("127.0.0.1")) == (False, True)
    await responder.close()


def on_loopback(name: str) -> Document:
    """Who asks from this machine has the address of the instance that it stands for."""
    segment = Segment(7, 3, "u", "", "127.0.0.0/8", "127.0.0.1", endpoints=(Endpoint("i", name, "127.0.0.1"),))
    return Document("v", 1, {7: segment})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
