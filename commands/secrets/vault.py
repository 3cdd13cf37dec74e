"""Where secrets are sealed, just before an append, and opened, just before they are used: nothing in between ever holds them in clear.

    a decision's event      {"secretValue": "s3cret"}
    appended, folded, shown {"secretValue": {"sealed": "..."}}, masked as *** in what shows events
    opened                  for the answer to who may read it, a login, a command whose agent must know it

Each stream has a key of its own in a table beside the log. The key is there before the append that needs it (one without any
use does no harm), and goes with the append that closes the stream: then its secrets read as null, also in a copy of the log.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.secrets import SEALED, found, is_sealed, replaced, replaced_in_event, secret_names, secrets_of
from commands.resource import Resource, split_stream
from commands.secrets.sealing import KEY_BYTES, Chance, MasterKeys, Unreadable, seal, sealed_for, unseal
from eventstore import Store, Write

log = structlog.get_logger("corral.vault")

CANARY = "master"
"""The entry (no stream has such a name) that tells at the start whether the master key is the right one."""

REMEMBERED = 300.0
"""Seconds for which a key is kept in memory: so long may a server still know a purged stream's."""

MOST = 10_000

PURGED = "purged"

Sealed = tuple[str, str, Any]
"""stream, field, value"""


class Vault:
    """Seals and opens, for one process. Where no secret is concerned, it asks the store for nothing."""

    def __init__(self, store: Store, catalogue: Catalogue, master: MasterKeys | None = None, chance: Chance = os.urandom) -> None:
        self._store, self._catalogue, self._master, self._chance = store, catalogue, master or MasterKeys(), chance
        self._known: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._wanted: set[str] = set()
        self._adding = asyncio.Lock()
        self._unread: set[str] = set()
        self._reading = asyncio.Lock()

    async def check(self) -> None:
        """At the start: raises WrongMasterKey, or wraps with the newest master key what is not.

        While there are several, any key may be wrapped with any of them: another server may begin with another.
        """
        fresh = self._master.wrap(CANARY, self._chance(KEY_BYTES), self._chance)
        kept = (await self._store.add_keys({CANARY: fresh}))[CANARY]
        self._master.unwrap(CANARY, kept)
        if self._master.several or not self._master.is_current(kept):
            await self._rewrap()

    # --- before an append ---

    async def sealed(self, writes: Sequence[Write]) -> list[Write]:
        """The writes with every secret in their events sealed. What is sealed for its place already stays; what a decision took from
        another resource, or field, is sealed anew for where it goes."""
        todo = [each for write in writes for each in self._secrets_in(write) if not _is_sealed_for(each)]
        if not todo:
            return list(writes)
        keys = await self._keys_to_write({stream for stream, _, _ in todo})
        moved = [(*sealed_for(value), value) for _, _, value in todo if is_sealed(value)]
        plain = dict(zip((value[SEALED] for _, _, value in moved), await self.values(moved), strict=True))
        return [self._seal(write, keys[write.stream], plain) if write.stream in keys else write for write in writes]

    def _secrets_in(self, write: Write) -> list[Sealed]:
        names, found_here = self._names(write.stream), list[Sealed]()

        def note(name: str, value: Any) -> Any:
            found_here.append((write.stream, name, value))
            return value

        for event in write.events:
            replaced_in_event(event.data, *names, note)
        return found_here

    def _seal(self, write: Write, key: bytes, plain: Mapping[str, Any]) -> Write:
        """`plain`: ciphertext of elsewhere -> value."""

        def change(name: str, value: Any) -> Any:
            if _is_sealed_for((write.stream, name, value)):
                return value
            value = plain[value[SEALED]] if is_sealed(value) else value
            return None if value is None else seal(key, write.stream, name, value, self._chance)

        names = self._names(write.stream)
        return replace(write, events=tuple(replace(each, data=replaced_in_event(each.data, *names, change)) for each in write.events))

    def _names(self, stream: str) -> tuple[frozenset[str], frozenset[str]]:
        """Of fields, and of what a process may be started with."""
        return secrets_of(self._catalogue, split_stream(stream)[0]), secret_names(self._catalogue)

    # --- where the plain value is needed ---

    async def opened(self, resource: Resource) -> Resource:
        """The resource with its secrets in clear. What was written before secrets were sealed is clear already."""
        return (await self.opened_all([resource]))[0]

    async def opened_all(self, resources: Iterable[Resource]) -> list[Resource]:
        """Of many, with at most one query."""
        given = list(resources)
        wanted = [sealed for each in given for sealed in self._sealed_in(each)]
        if not wanted:
            return given
        values = await self.values(wanted)
        plain = {(stream, value[SEALED]): opened for (stream, _, value), opened in zip(wanted, values, strict=True)}
        return [self._open(each, plain) for each in given]

    async def values(self, sealed: Sequence[Sealed]) -> list[Any]:
        """Each value in clear; None where its key is gone, or it is sealed with another."""
        keys = await self._keys_to_read({stream for stream, _, value in sealed if is_sealed(value)})
        return [self._plain(each, keys.get(each[0])) for each in sealed]

    def _sealed_in(self, resource: Resource) -> list[Sealed]:
        names = secrets_of(self._catalogue, resource.type)
        held = found(resource.row, names) if names else []
        for bracket in resource.open.values():
            if bracket.input:
                held += found(bracket.input, secret_names(self._catalogue), ())
        return [(resource.stream, name, value) for name, value in held if is_sealed(value)]

    def _open(self, resource: Resource, plain: Mapping[tuple[str, str], Any]) -> Resource:
        """`plain`: (stream, ciphertext) -> value."""

        def change(name: str, value: Any) -> Any:
            if not is_sealed(value):
                return value
            # A key that this process still remembers does not outlive the purge.
            return None if resource.state == PURGED else plain[resource.stream, value[SEALED]]

        if not self._sealed_in(resource):
            return resource
        names = secret_names(self._catalogue)
        brackets = {key: replace(each, input=replaced(each.input, names, change, ())) for key, each in resource.open.items()}
        return replace(resource, row=replaced(resource.row, secrets_of(self._catalogue, resource.type), change), open=brackets)

    def _plain(self, sealed: Sealed, key: bytes | None) -> Any:
        stream, name, value = sealed
        if not is_sealed(value):
            return value
        if key is None:
            return None
        try:
            if not _is_sealed_for(sealed):
                raise Unreadable("it was sealed for another place")
            return unseal(key, value)
        except Unreadable as error:
            log.warning("A secret can't be opened; it is read as none", action="unreadable", stream=stream, field=name, error=str(error))
            return None

    # --- keys ---

    async def _keys_to_write(self, streams: set[str]) -> dict[str, bytes]:
        """Keys that are in the store, made where there are none. Those who wait for the store at the same time ask it together."""
        while missing := {stream for stream in streams if self._recalled(stream) is None}:
            self._wanted |= missing
            async with self._adding:
                wanted, self._wanted = self._wanted, set()
                if wanted:
                    fresh = {each: self._master.wrap(each, self._chance(KEY_BYTES), self._chance) for each in sorted(wanted)}
                    self._remember(await self._store.add_keys(fresh))
        return {stream: self._known[stream][1] for stream in streams}

    async def _keys_to_read(self, streams: set[str]) -> dict[str, bytes]:
        if missing := {stream for stream in streams if self._recalled(stream) is None}:
            self._unread |= missing
            async with self._reading:
                # Also what somebody took over to ask for, whose query failed.
                wanted = self._unread | {stream for stream in missing if self._recalled(stream) is None}
                self._unread = set()
                if wanted:
                    self._remember(await self._store.keys(list(wanted)))
        return {stream: key for stream in streams if (key := self._recalled(stream)) is not None}

    def _recalled(self, stream: str) -> bytes | None:
        known = self._known.get(stream)
        return known[1] if known is not None and time.monotonic() - known[0] < REMEMBERED else None

    def _remember(self, kept: Mapping[str, bytes]) -> None:
        now = time.monotonic()
        for stream, key in kept.items():
            self._known[stream] = (now, self._master.unwrap(stream, key))
            self._known.move_to_end(stream)
        while len(self._known) > max(MOST, len(kept)):
            self._known.popitem(last=False)

    async def _rewrap(self) -> None:
        """All keys under the newest master key; the canary last, so that a start that was cut off begins again."""
        after, count, canary = "", 0, dict[str, tuple[bytes, bytes]]()
        while kept := await self._store.keys_after(after):
            after = max(kept)
            changes = {each: (key, self._rewrapped(each, key)) for each, key in kept.items() if not self._master.is_current(key)}
            count += len(changes)
            canary |= {each: changes.pop(each) for each in (CANARY,) if each in changes}
            await self._store.change_keys(changes)
        await self._store.change_keys(canary)
        if count:
            log.warning("The streams' keys are wrapped with the newest master key now", action="rewrapped", keys=count)

    def _rewrapped(self, stream: str, kept: bytes) -> bytes:
        return self._master.wrap(stream, self._master.unwrap(stream, kept), self._chance)


def _is_sealed_for(secret: Sealed) -> bool:
    """Whether it is sealed, and for where it stands."""
    stream, name, value = secret
    return is_sealed(value) and sealed_for(value) == (stream, name)
