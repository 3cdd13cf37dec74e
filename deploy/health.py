"""GET /readyz: whether this process can do its part, and by name what keeps it from that. Pure, over one look."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deploy.settings import Role
from deploy.watched import Moment, Watched

LATE_SECONDS = 10.0
"""By so much may an engine lag behind the log, which it reads as it grows."""


@dataclass(frozen=True, slots=True)
class Check:
    ready: bool
    message: str


def readiness(watched: Watched, moment: Moment) -> tuple[bool, dict[str, Any]]:
    """-> whether all that this process' roles need is there, and the document that tells of each."""
    checks = {"database": _database(moment)}
    if watched.engine is not None:
        load = watched.engine.load()
        checks["log"] = _log(moment, load.ready)
        checks["partitions"] = _partitions(load.sure, load.partitions)
    if Role.ENGINE in watched.roles and watched.engine is None:
        checks["log"] = Check(False, "the engine has not begun yet")
    if Role.GATEWAY in watched.roles or Role.PROJECTOR in watched.roles:
        checks["views"] = _views(watched, moment)
    checks |= _nats(watched)
    ready = all(check.ready for check in checks.values())
    return ready, {"ready": ready, "roles": list(watched.roles), "checks": {name: asdict(check) for name, check in checks.items()}}


def _database(moment: Moment) -> Check:
    if moment.trouble:
        return Check(False, moment.trouble)
    if not moment.writable:
        return Check(False, "it is read-only: it answers, and takes no command")
    return Check(True, f"it answers; the log ends at {moment.head}")


def _log(moment: Moment, ready: bool) -> Check:
    if not ready:
        return Check(False, "the engine is loading, or has not looked yet what is open")
    if moment.behind_seconds > LATE_SECONDS:
        return Check(False, f"the engine lags {moment.behind_seconds:.0f} s behind the log")
    return Check(True, "it is read up to its end")


def _partitions(sure: bool, held: int) -> Check:
    if not sure:
        return Check(False, "the leases of its partitions could not be renewed in time: others may have them")
    return Check(True, f"it holds {held}" if held else "it stands by: others hold all")


def _views(watched: Watched, moment: Moment) -> Check:
    if moment.trouble or watched.views is None:
        return Check(False, "it is not known how far they are: the database does not tell")
    said = f"generation {watched.views.schema} holds {moment.views} of {moment.head} events"
    if not watched.built:
        return Check(False, f"{said}: it is being built")
    return Check(True, said)


def _nats(watched: Watched) -> dict[str, Check]:
    """The gateway accepts and answers without it: only who subscribes over HTTP misses it."""
    needed = {of: each.connected for of, each in watched.nats.items() if of != Role.GATEWAY}
    if needed:
        away = [of for of, connected in needed.items() if not connected]
        return {"nats": Check(not away, f"it does not answer the {' and '.join(away)}" if away else "it answers")}
    if Role.AGENTS in watched.roles or Role.ENGINE in watched.roles:
        return {"nats": Check(False, "it was not connected to yet")}
    return {}
