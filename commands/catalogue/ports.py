"""A published port as it is written: [public:]private[/protocol]."""

from __future__ import annotations

import re
from dataclasses import dataclass

from commands.errors import Refused

_LAYOUT = re.compile(r"(?:([0-9]+):)?([0-9]+)(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PortSpec:
    """`public` None: none was asked for."""

    public: int | None
    private: int
    protocol: str = "tcp"


def parse_port(text: str | None) -> PortSpec:
    """Raises Refused with the API's own code for each way to be wrong."""
    if text is None:
        raise Refused("MissingRequired", "a port can't be null", "ports")
    found = _LAYOUT.fullmatch(text)
    if not found:
        raise Refused("PortWrongFormat", f"port {text!r} is not of the form [public:]private[/protocol]", "ports")
    public, private, protocol = found.groups()
    if public is not None and not _is_port(public):
        raise Refused("PortInvalidPublicPort", f"public port {public} is not in 1..65535", "ports")
    if not _is_port(private):
        raise Refused("PortInvalidPrivatePort", f"private port {private} is not in 1..65535", "ports")
    if protocol not in (None, "tcp", "udp"):
        raise Refused("PortInvalidProtocol", f"protocol {protocol!r} is not tcp or udp", "ports")
    return PortSpec(int(public) if public is not None else None, int(private), protocol or "tcp")


def _is_port(digits: str) -> bool:
    return len(digits) < 9 and 1 <= int(digits) <= 65535
