"""Links of a container to others: variables that tell where they lead, on a network of Corral's or through its link service; else
Docker's own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.driver import DriverError, Json
from agents.instances import fields_of


def targets(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Link name -> the uuid of its target, of the links that are Docker's own to make."""
    found: dict[str, str] = {}
    for row in rows:
        target = row.get("targetInstance")
        if isinstance(target, Mapping) and target.get("uuid") and not _ports(row) and not target.get("address"):
            found[_name(row)] = str(target["uuid"])
    return found


def environment(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """What Docker's links would tell: DB_PORT_5432_TCP_ADDR and the like. The first port of a link is also its DB_PORT; what a target
    was given as its environment is there as DB_ENV_..., but where a link service leads on."""
    result: dict[str, str] = {}
    for row in rows:
        name, ports, target = _name(row), _ports(row), row.get("targetInstance")
        upper = name.upper()
        if not ports and isinstance(target, Mapping) and target.get("address"):
            upper = upper.replace("-", "_")
            ports = [{**each, "ipAddress": target["address"], "publicPort": each["privatePort"]} for each in target.get("ports") or ()]
            given = {key: value for key, value in (target.get("environment") or {}).items() if key not in _NOT_TOLD}
            result[f"{upper}_NAME"] = f"/cattle/{name}"
            result |= {f"{upper}_ENV_{key}": "" if value is None else str(value) for key, value in given.items()}
        for port in ports:
            address, public, private = port.get("ipAddress"), port.get("publicPort"), port.get("privatePort")
            protocol = str(port.get("protocol") or "tcp")
            url = f"{protocol}://{address}:{public}"
            full = f"{upper}_PORT_{private}_{protocol.upper()}"
            result.setdefault(f"{upper}_NAME", f"/cattle/{name}")
            result.setdefault(f"{upper}_PORT", url)
            result |= {full: url, f"{full}_ADDR": str(address), f"{full}_PORT": str(public), f"{full}_PROTO": protocol}
    return result


_NOT_TOLD = ("HOME", "PATH")
"""Variables of a target that Docker's links leave out, too."""


def _name(row: Mapping[str, object]) -> str:
    name = row.get("linkName")
    if not isinstance(name, str) or not name:
        raise DriverError(f"link {row.get('id')} has no name")
    return name


def _ports(row: Mapping[str, object]) -> list[Json]:
    ports = fields_of(row).get("ports")
    return [each for each in ports if isinstance(each, dict)] if isinstance(ports, list) else []
