"""W3C trace context: what ties a request to the work of others before and after it, from its headers to the agents. Pure.

    request's headers -> read -> its events' metadata -> the bracket -> hop -> the command's headers, and its context

A request that brings none is the trace of its correlation id, and its events need to say no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

PARENT, STATE = "traceparent", "tracestate"
"""The names of the headers, of the events' metadata, and of the keys in a message's context."""

MOST_STATE = 512
"""Characters of a tracestate that are carried; a longer one is left out whole, as the rule permits."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_HEX = re.compile(r"[0-9a-f]{32}")
_STATE = re.compile(r"[ -~\t]*")


@dataclass(frozen=True, slots=True)
class Trace:
    """A span: the trace it is part of, and where it stands. `state` is others' own, and is handed on as it came."""

    trace_id: str
    span_id: str
    flags: str = "01"
    state: str = ""

    @property
    def parent(self) -> str:
        """As the header has it."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def hop(self, name: str) -> Trace:
        """A new span below this one: the same name gives the same, so that what is sent again is no other hop."""
        return Trace(self.trace_id, _span(f"{self.span_id}{name}"), self.flags, self.state)

    def headers(self) -> dict[str, str]:
        return {PARENT: self.parent, **({STATE: self.state} if self.state else {})}


class Ties(NamedTuple):
    """What ties an event to the request that led to it."""

    correlation: str | None = None
    trace: Trace | None = None

    def metadata(self) -> dict[str, str]:
        """Of the events."""
        found = {"correlation": self.correlation} if self.correlation else {}
        return found | self.trace.headers() if self.trace is not None else found

    def context(self, ask: str, process: str | None) -> dict[str, str | None]:
        """Of a command: what its message tells beside its headers, which HTTP has not."""
        trace = self.hop(ask)
        told = {"correlation": self.correlation, "processName": process}
        return ({} if process is None and self.correlation is None else told) | (trace.headers() if trace is not None else {})

    def hop(self, name: str) -> Trace | None:
        """The span of what is asked next. None: no request led here."""
        trace = self.trace or (named(self.correlation) if self.correlation else None)
        return trace.hop(name) if trace is not None else None


NO_TIES = Ties()


def ties_of(metadata: Mapping[str, Any]) -> Ties:
    """metadata() read again, wherever an event comes from."""
    correlation = metadata.get("correlation")
    correlation = correlation if isinstance(correlation, str) else None
    parent, state = metadata.get(PARENT), metadata.get(STATE)
    return Ties(correlation, read(parent, state if isinstance(state, str) else None) if isinstance(parent, str) else None)


def read(parent: str, state: str | None = None) -> Trace | None:
    """The headers of a request; None where the first is not what the rule has: then neither counts. A version to come may say more."""
    match = _PARENT.fullmatch(parent.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    # Of the flags, those that this version knows are handed on.
    known = f"{int(flags, 16) & 3:02x}"
    said = (state or "").strip()
    return Trace(trace_id, span_id, known, said if len(said) <= MOST_STATE and _STATE.fullmatch(said) else "")


def named(correlation: str) -> Trace | None:
    """The trace of a request that came without one: it has the request's own name, where that may be a trace's."""
    if _HEX.fullmatch(correlation) is None or not correlation.strip("0"):
        return None
    return Trace(correlation, _span(correlation))


def _span(name: str) -> str:
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return digest if digest.strip("0") else "1".zfill(16)
