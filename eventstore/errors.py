"""What an append or a read can fail with, named for what the caller does next."""

from __future__ import annotations

from datetime import datetime


class StoreError(Exception):
    """The base of all that the store raises."""


class WrongVersion(StoreError):
    """A stream is not at the version the append expected: reload it and decide again."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream} is at version {actual}, not {expected}: reload it and decide again")
        self.stream, self.expected, self.actual = stream, expected, actual


class Taken(StoreError):
    """An exclusive claim is held by another stream."""

    def __init__(self, scope: str, item: str, holder: str) -> None:
        super().__init__(f"{scope} {item} is taken by {holder}")
        self.scope, self.item, self.holder = scope, item, holder


class Full(StoreError):
    """A counted claim would exceed its limit."""

    def __init__(self, scope: str, item: str, amount: int, used: int, limit: int) -> None:
        super().__init__(f"{scope} is full: {used} of {limit} in use, {amount} more wanted for {item}")
        self.scope, self.item, self.amount, self.used, self.limit = scope, item, amount, used, limit


class LostLease(StoreError):
    """Another holder has the lease now: stop acting for it, and reload."""

    def __init__(self, name: str, epoch: int) -> None:
        super().__init__(f"lease {name} of epoch {epoch} is lost: another holder has it")
        self.name, self.epoch = name, epoch


class Repeated(StoreError):
    """This idempotent command was carried out before: answer what it answered (`status`, with the events first..last)."""

    def __init__(self, key: str, status: int, first: int, last: int, at: datetime) -> None:
        super().__init__(f"the command with key {key} was carried out before, at position {first}")
        self.key, self.status, self.first, self.last, self.at = key, status, first, last, at


class KeyReused(StoreError):
    """The idempotency key belongs to another request: use a new key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"idempotency key {key} was used for a different request: use a new key for a new request")
        self.key = key


class BadData(StoreError):
    """The log can't hold this (NUL, lone surrogates, not JSON): the request is wrong, repeating it will not help."""


class Unavailable(StoreError):
    """The database does not answer: try later. Whether an append landed is settled by its idempotency key or by a reload."""


class ArchiveAway(Unavailable):
    """An archive file is missing or damaged: what needs it goes on once the file is back."""


class CantArchive(StoreError):
    """Archiving makes no sense as asked, or can't go on; the message says why. The log is as it was."""


class NewerEvent(StoreError):
    """An event was written in a form that this Corral does not know: stop, and start the newer one."""


class NewerSchema(StoreError):
    """The database was made by a newer Corral: start that version, or give this one another home."""
