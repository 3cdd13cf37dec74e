"""Links of a container to others: Docker's own, or where a network's link service leads on, variables that tell where. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.driver import DriverError, Json


def targets(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Link name -> the uuid of its target, of the links that are Docker's own to make."""
    found: dict[str, str] = {}
    for row in rows:
        target = row.get("targetInstance")
        if isinstance(target, Mapping) and target.get("uuid") and not _ports(row):
            found[_name(row)] = str(target["uuid"])
    return found


def environment(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """What Docker's links would tell, for those that a link service leads on: DB_PORT_5432_TCP_ADDR and the like. The first port of a
    link is also its DB_PORT."""
    result: dict[str, str] = {}
    for row in rows:
        name = _name(row)
        upper = name.upper()
        for port in _ports(row):
            address, public, private = port.get("ipAddress"), port.get("publicPort"), port.get("privatePort")
            protocol = str(port.get("protocol") or "tcp")
            url = f"{protocol}://{address}:{public}"
            full = f"{upper}_PORT_{private}_{protocol.upper()}"
            result.setdefault(f"{upper}_NAME", f"/cattle/{name}")
            result.setdefault(f"{upper}_PORT", url)
            result |= {full: url, f"{full}_ADDR": str(address), f"{full}_PORT": str(public), f"{full}_PROTO": protocol}
    return result


def _name(row: Mapping[str, object]) -> str:
    name = row.get("linkName")
    if not isinstance(name, str) or not name:
        raise DriverError(f"link {row.get('id')} has no name")
    return name


def _ports(row: Mapping[str, object]) -> list[Json]:
    data = row.get("data")
    fields = data.get("fields") if isinstance(data, Mapping) else None
    ports = fields.get("ports") if isinstance(fields, Mapping) else None
    return [each for each in ports if isinstance(each, dict)] if isinstance(ports, list) else []
