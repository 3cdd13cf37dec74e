"""A raw container document: what was given in the engine's own words (data.dockerCreate) under what the instance says. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agents.driver import DriverError, Json

KEY = "dockerCreate"
"""Of an instance's data: the body of the engine's POST /containers/create, as far as the instance's fields don't say it."""

_NETWORK = (("HostConfig", "NetworkMode"), ("HostConfig", "Links"), ("NetworkingConfig",), ("MacAddress",), ("NetworkDisabled",))
"""What puts a container on a network."""


def raw_of(instance: Mapping[str, object], *, networked: bool) -> Json:
    """`networked`: Corral has given it addresses; then the network is Corral's to say. Raises DriverError."""
    given = _given(instance)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise DriverError(f"data.{KEY} must be a map, the body of Docker's POST /containers/create, not {given!r}")
    parts = {name: part for name, part in given.items() if part is not None}
    for name in ("HostConfig", "Labels"):
        if not isinstance(parts.get(name, {}), dict):
            raise DriverError(f"data.{KEY}.{name} must be a map, not {parts[name]!r}")
    if networked:
        for path in _NETWORK:
            parts = _without(parts, path)
    return parts


def stop_timeout(instance: Mapping[str, object], usual: int) -> int:
    """As the document says it, where it does."""
    given = _given(instance)
    seconds = given.get("StopTimeout") if isinstance(given, Mapping) else None
    return seconds if isinstance(seconds, int) and not isinstance(seconds, bool) and seconds >= 0 else usual


def under(raw: Mapping[str, object], body: Mapping[str, object]) -> Json:
    """`raw` with the instance's own words over it: maps are joined, variables by their names, binds too; else `body` has its way."""
    joined: Json = dict(raw)
    for key, ours in body.items():
        theirs = raw.get(key)
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            joined[key] = under(theirs, ours)
        elif key == "Env" and isinstance(theirs, list) and isinstance(ours, list):
            joined[key] = list({str(each).partition("=")[0]: each for each in (*theirs, *ours)}.values())
        elif key == "Binds" and isinstance(theirs, list) and isinstance(ours, list):
            joined[key] = list(dict.fromkeys([*theirs, *ours]))
        else:
            joined[key] = ours
    return joined


def _given(instance: Mapping[str, object]) -> object:
    data = instance.get("data")
    return data.get(KEY) if isinstance(data, Mapping) else None


def _without(parts: Json, path: tuple[str, ...]) -> Json:
    name, *inner = path
    if name not in parts:
        return parts
    if inner:
        return {**parts, name: _without(parts[name], tuple(inner))}
    return {key: value for key, value in parts.items() if key != name}
