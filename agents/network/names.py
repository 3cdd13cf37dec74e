"""Names of a network's instances: a question of one of them -> its answer, by what the server has told. Pure."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from agents.network.segments import Document, Endpoint

SECONDS = 5
"""For which an answer may be remembered: an instance may be removed, and its name be another's."""


class Names:
    """Who is called what, as a document says. Made once for it."""

    def __init__(self, document: Document) -> None:
        self._owners: dict[str, tuple[Endpoint, int]] = {}
        """Address -> whose it is, and of which network. What is in force on one host does not overlap: no engine makes two such bridges."""
        self._networks: dict[str, set[int]] = {}
        """Instance -> the networks that it is on, whichever of its addresses it asks from."""
        self._links: dict[str, dict[str, str]] = {}
        """Instance -> name of a link of its -> the target's address."""
        self._by_name: dict[int, dict[str, list[str]]] = {}
        for segment in document.segments.values():
            names = self._by_name.setdefault(segment.network, {})
            for each in segment.endpoints:
                self._owners[each.address] = each, segment.network
                self._networks.setdefault(each.instance, set()).add(segment.network)
                self._links.setdefault(each.instance, {}).update({name.lower(): to for name, to in each.links.items()})
                for name in _called(each.name, segment.domain):
                    names.setdefault(name, []).append(each.address)

    def addresses(self, asker: str, name: str) -> list[str]:
        """What a name means to the instance at an address: its own links come first."""
        if asker not in self._owners:
            return []
        who, _ = self._owners[asker]
        wanted = name.rstrip(".").lower()
        linked = self._links[who.instance].get(wanted)
        if linked is not None:
            return [linked]
        known = (self._by_name[network].get(wanted, []) for network in sorted(self._networks[who.instance]))
        return list(dict.fromkeys(address for found in known for address in found))

    def name_of(self, asker: str, address: str) -> str | None:
        """The other way round."""
        if asker not in self._owners or address not in self._owners:
            return None
        (who, _), (found, network) = self._owners[asker], self._owners[address]
        return found.name if found.name and network in self._networks[who.instance] else None


def answer(names: Names, asker: str, query: dns.message.Message) -> dns.message.Message | None:
    """None: it is none of ours to answer. (A known name that has no record of the type that is asked for has an empty answer.)"""
    if len(query.question) != 1 or query.opcode() != 0:
        return None
    question = query.question[0]
    if question.rdclass != dns.rdataclass.IN:
        return None
    if question.rdtype == dns.rdatatype.PTR:
        return _reverse(names, asker, query, question)
    found = names.addresses(asker, question.name.to_text(omit_final_dot=True))
    if not found:
        return None
    reply = _reply(query)
    if question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY):
        reply.answer.append(dns.rrset.from_text_list(question.name, SECONDS, "IN", "A", found))
    return reply


def _reverse(names: Names, asker: str, query: dns.message.Message, question: dns.rrset.RRset) -> dns.message.Message | None:
    try:
        address = dns.reversename.to_address(question.name)
    except Exception:  # of a name that is no address written backwards the library raises several errors
        return None
    found = names.name_of(asker, address)
    if found is None:
        return None
    try:
        target = dns.name.from_text(found)
    except dns.name.NameTooLong:
        return None
    reply = _reply(query)
    reply.answer.append(dns.rrset.from_text(question.name, SECONDS, "IN", "PTR", target.to_text()))
    return reply


def _reply(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= dns.flags.AA
    return reply


def unanswerable(query: dns.message.Message) -> dns.message.Message:
    """Nobody who was asked knew."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(dns.rcode.SERVFAIL)
    return reply


def _called(name: str, domain: str) -> list[str]:
    """A name with dots in it is one within the network's domain only: else an instance called example.com were that to all others."""
    plain = name.lower()
    if not plain:
        return []
    alone = [] if "." in plain else [plain]
    return [*alone, f"{plain}.{domain.lower().strip('.')}"] if domain else alone


def nameservers(resolv_conf: str) -> list[str]:
    """Those of a resolv.conf, by their addresses."""
    lines = (line.split() for line in resolv_conf.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


