"""Between dispatch and the server's log: what is sent again, in one line a minute for whoever does not answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

log = structlog.get_logger("corral.dispatch")

TOLD_SECONDS = 60.0
"""At least so long between two lines about one agent or handler: a silent one with many commands would fill the log."""

Silent = tuple[int, int]
"""The agent, or the external handler, that does not answer; the other number is 0."""


@dataclass(slots=True)
class _Unanswered:
    times: int = 0
    commands: set[str] = field(default_factory=set)
    subject: str = ""
    stream: str = ""
    correlation: str | None = None
    told: float = float("-inf")


class Resends:
    """Counts what is sent again, and tells it: the first at once, what follows by the minute."""

    def __init__(self) -> None:
        self._by_silent: dict[Silent, _Unanswered] = {}

    def count(self, silent: Silent, ask: str, subject: str, stream: str, correlation: str | None = None) -> None:
        each = self._by_silent.setdefault(silent, _Unanswered())
        each.times += 1
        each.commands.add(ask)
        each.subject, each.stream, each.correlation = subject, stream, correlation

    def tell(self, now: float) -> None:
        """Called again and again. `now`: seconds of any clock that never goes back."""
        for silent, each in list(self._by_silent.items()):
            if now - each.told < TOLD_SECONDS:
                continue
            if not each.times:
                del self._by_silent[silent]  # it has answered, or nobody wants it any more
                continue
            agent, handler = silent
            log.info(
                "No answer yet; what was asked is sent again", action="resend", **({"handler": handler} if handler else {"agent": agent}),
                commands=len(each.commands), times=each.times, subject=each.subject, stream=each.stream,
                correlation=each.correlation,
            )  # fmt: skip
            self._by_silent[silent] = _Unanswered(told=now)
