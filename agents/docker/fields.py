"""An instance's fields as the engine's words: which of them go where in its create body, and what each may be. Pure.

Cattle's own fields and, in `data.fields`, those that Corral takes besides: docs/docker.md has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.driver import DriverError, Json

BIGGEST = 2**63 - 1
"""The engine's numbers have 64 bits."""

NO_LXC = (
    "lxcConf can't be done: Docker engines have had no LXC driver since version 1.10. Say the same with cpuSet, cpuShares, memory, capAdd, "
    "devices or securityOpt, or as data.dockerCreate in the engine's own words"
)

RESTARTS = {"no": "no", "always": "unless-stopped", "unless-stopped": "unless-stopped", "on-failure": "on-failure"}
"""restartPolicy.name -> the engine's. Its own "always" would start what was stopped on purpose whenever the engine itself starts."""


@dataclass(frozen=True, slots=True)
class Given:
    """One field: where it goes in the create body, and how it is read."""

    name: str
    place: tuple[str, ...]
    read: Callable[[Mapping[str, object], str], Any]
    """(fields, name) -> the engine's value; None where it says nothing. Raises DriverError that names the field."""


def text(of: Mapping[str, object], key: str) -> str | None:
    value = of.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DriverError(f"{key} must be text, not {value!r}")
    return value


def words(of: Mapping[str, object], key: str) -> list[str]:
    value = of.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str | int | float) for each in value):
        raise DriverError(f"{key} must be a list of texts, not {value!r}")
    return [str(each) for each in value]


def pairs(of: Mapping[str, object], key: str) -> dict[str, str]:
    """A map of texts; null is an empty one."""
    value = of.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DriverError(f"{key} must be a map, not {value!r}")
    return {str(name): "" if each is None else str(each) for name, each in value.items()}


def flag(of: Mapping[str, object], key: str) -> bool:
    value = of.get(key)
    if not isinstance(value, bool | None):
        raise DriverError(f"{key} must be true or false, not {value!r}")
    return bool(value)


def number(of: Mapping[str, object], key: str, least: int = 0, of_what: str = "a whole number") -> int | None:
    value = of.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= BIGGEST:
        raise DriverError(f"{key} must be {of_what}, {least} or more, not {value!r}")
    return value or None


def size(of: Mapping[str, object], key: str) -> int | None:
    return number(of, key, of_what="a number of bytes")


def swap(of: Mapping[str, object], key: str) -> int | None:
    """Memory and swap together; -1: as much swap as there is."""
    return number(of, key, least=-1, of_what="a number of bytes")


def devices(of: Mapping[str, object], key: str) -> list[Json]:
    """/dev/on-host[:/dev/inside[:rwm]]"""
    found: list[Json] = []
    for each in words(of, key):
        outside, _, rest = each.partition(":")
        inside, _, rights = rest.partition(":")
        if not outside.startswith("/") or (rest and not inside.startswith("/")) or not set(rights) <= set("rwm"):
            raise DriverError(f"device {each!r} is not of the form /dev/on-host[:/dev/in-container[:rwm]]")
        found.append({"PathOnHost": outside, "PathInContainer": inside or outside, "CgroupPermissions": rights or "rwm"})
    return found


def restart_policy(of: Mapping[str, object], key: str) -> Json | None:
    """{"name": "on-failure", "maximumRetryCount": 3}, or the name alone."""
    value = of.get(key)
    if value is None:
        return None
    policy = {"name": value} if isinstance(value, str) else value
    name = policy.get("name") if isinstance(policy, dict) else None
    if not isinstance(policy, dict) or name not in RESTARTS:
        raise DriverError(f"{key} must be a map whose name is one of {', '.join(RESTARTS)}, not {value!r}")
    tries = number(policy, "maximumRetryCount")
    if tries is not None and name != "on-failure":
        raise DriverError(f"{key}.maximumRetryCount is for on-failure alone, not for {name}")
    return {"Name": RESTARTS[name], **({"MaximumRetryCount": tries} if tries else {})}


FIELDS = (
    Given("entryPoint", ("Entrypoint",), words),
    Given("user", ("User",), text),
    Given("directory", ("WorkingDir",), text),
    Given("domainName", ("Domainname",), text),
    Given("tty", ("Tty",), flag),
    Given("stdinOpen", ("OpenStdin",), flag),
    Given("stopSignal", ("StopSignal",), text),
    Given("labels", ("Labels",), pairs),
    Given("privileged", ("HostConfig", "Privileged"), flag),
    Given("publishAllPorts", ("HostConfig", "PublishAllPorts"), flag),
    Given("readOnly", ("HostConfig", "ReadonlyRootfs"), flag),
    Given("init", ("HostConfig", "Init"), flag),
    Given("capAdd", ("HostConfig", "CapAdd"), words),
    Given("capDrop", ("HostConfig", "CapDrop"), words),
    Given("securityOpt", ("HostConfig", "SecurityOpt"), words),
    Given("groupAdd", ("HostConfig", "GroupAdd"), words),
    Given("dns", ("HostConfig", "Dns"), words),
    Given("dnsSearch", ("HostConfig", "DnsSearch"), words),
    Given("extraHosts", ("HostConfig", "ExtraHosts"), words),
    Given("devices", ("HostConfig", "Devices"), devices),
    Given("tmpfs", ("HostConfig", "Tmpfs"), pairs),
    Given("memory", ("HostConfig", "Memory"), size),
    Given("memorySwap", ("HostConfig", "MemorySwap"), swap),
    Given("memoryReservation", ("HostConfig", "MemoryReservation"), size),
    Given("shmSize", ("HostConfig", "ShmSize"), size),
    Given("cpuShares", ("HostConfig", "CpuShares"), number),
    Given("cpuPeriod", ("HostConfig", "CpuPeriod"), number),
    Given("cpuQuota", ("HostConfig", "CpuQuota"), number),
    Given("cpuSet", ("HostConfig", "CpusetCpus"), text),
    Given("pidsLimit", ("HostConfig", "PidsLimit"), number),
    Given("restartPolicy", ("HostConfig", "RestartPolicy"), restart_policy),
)
"""Those that one word of the engine's says. What needs more (the command, ports, volumes, links) is read in container.py."""


def body_of(fields: Mapping[str, object]) -> Json:
    """The part of a create body that these fields say; what they leave out is left to the image and the engine."""
    if fields.get("lxcConf"):
        raise DriverError(NO_LXC)
    body: Json = {}
    for each in FIELDS:
        if value := each.read(fields, each.name):
            here = body
            for key in each.place[:-1]:
                here = here.setdefault(key, {})
            here[each.place[-1]] = value
    return body
