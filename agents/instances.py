"""What drivers read alike from an instance of a command. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agents.driver import DriverError, Json

STOP_SECONDS, MOST_STOP_SECONDS = 10, 600


def fields_of(row: Mapping[str, object]) -> Json:
    """data.fields of a row, whatever is there."""
    data = row.get("data")
    fields = data.get("fields") if isinstance(data, Mapping) else None
    return dict(fields) if isinstance(fields, Mapping) else {}


def stop_seconds(instance: Mapping[str, object], usual: int = STOP_SECONDS) -> int:
    """How long it may take to end itself before it is ended."""
    given = fields_of(instance).get("stopTimeout")
    if given is None:
        return usual
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MOST_STOP_SECONDS:
        raise DriverError(f"stopTimeout must be a number of seconds from 0 to {MOST_STOP_SECONDS}, not {given!r}")
    return given
