"""Ports of a container: from what an instance asks for to what the engine is told, and back from what it did. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.driver import DriverError, Json

_SPEC = re.compile(r"(?:(?P<public>\d+):)?(?P<private>\d+)(?:/(?P<protocol>[a-z]+))?")
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class Port:
    """One that is to be published; without a public one the engine picks it."""

    private: int
    public: int | None = None
    protocol: str = "tcp"

    @property
    def key(self) -> str:
        """As Docker writes it: 80/tcp."""
        return f"{self.private}/{self.protocol}"


def parse_port(text: str) -> Port:
    """[public:]private[/protocol]. Raises DriverError."""
    match = _SPEC.fullmatch(text.strip().lower())
    if match is None:
        raise DriverError(f"port {text!r} is not of the form [public:]private[/protocol], as in 8080:80/tcp")
    return _checked(int(match["private"]), int(match["public"]) if match["public"] else None, match["protocol"] or "tcp", text)


def wanted_ports(rows: Iterable[Mapping[str, object]], specs: Iterable[object]) -> list[Port]:
    """`rows` are the instance's port resources, `specs` what was asked for at its creation: a row speaks for its private port."""
    from_rows = [_from_row(row) for row in rows]
    known = {port.key for port in from_rows}
    from_specs = [port for port in (parse_port(str(spec)) for spec in specs) if port.key not in known]
    return list(dict.fromkeys([*from_rows, *from_specs]))


def exposed(ports: Iterable[Port]) -> Json:
    return {port.key: {} for port in ports}


def bindings(ports: Sequence[Port]) -> Json:
    result: dict[str, list[Json]] = {}
    for port in ports:
        result.setdefault(port.key, []).append({"HostPort": "" if port.public is None else str(port.public)})
    return result


def published(inspected: Mapping[str, object]) -> dict[str, str]:
    """{"80/tcp": "49153"} of an inspected container: what it publishes just now. Not what it only exposes."""
    settings = inspected.get("NetworkSettings")
    ports = settings.get("Ports") if isinstance(settings, Mapping) else None
    return {key: str(given[0]["HostPort"]) for key, given in (ports or {}).items() if given}


def _from_row(row: Mapping[str, object]) -> Port:
    private, public = row.get("privatePort"), row.get("publicPort")
    if not isinstance(private, int) or not (public is None or isinstance(public, int)):
        raise DriverError(f"port {row.get('id')} has no usable numbers: publicPort {public!r}, privatePort {private!r}")
    return _checked(private, public, str(row.get("protocol") or "tcp").lower(), f"{public}:{private}")


def _checked(private: int, public: int | None, protocol: str, text: str) -> Port:
    if protocol not in _PROTOCOLS:
        raise DriverError(f"port {text!r} has the protocol {protocol!r}; {', '.join(_PROTOCOLS)} are known")
    for number in (private, public):
        if number is not None and not 1 <= number <= 65535:
            raise DriverError(f"port {text!r} has the number {number}; 1 to 65535 are possible")
    return Port(private, public, protocol)
