"""A command that was sent, or is about to be, and has no answer yet: whom it asks, and how long it has waited."""

from __future__ import annotations

from dataclasses import dataclass

from commands.logic.delegation import Delegated
from commands.trace import NO_TIES, Ties
from commands.turns.intake import PROGRESS_SECONDS

FIRST_RESEND = 1.0
MOST_RESEND = 15.0
"""Seconds between two sendings of an unanswered command."""


@dataclass(slots=True)
class Outstanding:
    """A command that waits for its answer."""

    root: str
    stream: str
    command: str
    agent: int
    ask: str
    epoch: int
    subject: str
    reply: str
    payload: bytes
    seconds: float
    since: float = 0.0
    """When this engine sent it first."""
    waited: float = 0.0
    """Seconds of silence since it was sent, while an answer could have come."""
    until_resend: float = FIRST_RESEND
    delay: float = FIRST_RESEND
    answered: bool = False
    silent: bool = False
    undoes: bool = False
    """It undoes what a closed process left behind: nobody waits for it."""
    told: float = float("-inf")
    """When its last progress was passed on."""
    handler: int = 0
    """The external handler that is asked; 0: an agent is."""
    at_leisure: bool = False
    """Whoever is asked need not know that it was asked before: it has its time before it is asked again, unless nobody listens."""
    unheard: float = FIRST_RESEND
    """Seconds until it is sent again then."""
    missed: bool = False
    """NATS says that nobody heard it when it was sent last."""
    ties: Ties = NO_TIES
    """What ties it to the request that led to it."""
    delegated: Delegated | None = None
    """Set where it goes through another agent; without `subject` it is known to no host yet."""
    through: int = 0
    """That other agent, when it was sent last. Places in flight are those of `agent`, whoever it goes through."""

    def progressed(self, now: float) -> bool:
        """The agent or handler reported progress: its time begins anew. -> whether to pass it on (once a second)."""
        self.waited, self.silent = 0.0, False
        self.until_resend = max(self.until_resend, self.delay)
        if now - self.told < PROGRESS_SECONDS:
            return False
        self.told = now
        return True

    def until_told(self, patience: float) -> float:
        """Seconds of silence until people hear of it: a handler says its own; `patience` shortens an agent's, unless it is 0."""
        return self.seconds if self.handler else min(self.seconds, patience or self.seconds)
