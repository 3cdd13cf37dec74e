"""The log's events -> a follower's stream of bytes: what fits and what its caller may see, each once, in order, for as long as it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from eventstore import Recorded, Store, StoreError, Unavailable
from gateway.errors import error_document
from gateway.history.sight import Sight
from gateway.history.streams import Form

Json = dict[str, Any]

ALIVE_SECONDS = 15.0
"""A stream without events says so often that it lives, and looks whether the database and its caller's key still do."""
PIECE = 100
"""Events that are written together."""
AGAIN_SECONDS = 1.0
"""Until what the database did not answer is asked again."""
CHECK_SECONDS = 5.0
"""For a look at the database."""


class Asked(Protocol):
    """What of the log is asked for (gateway.history.log.Wanted)."""

    @property
    def after(self) -> int: ...
    @property
    def to(self) -> int | None: ...
    @property
    def limit(self) -> int | None: ...
    def fits(self, event: Recorded) -> bool: ...


class Follower:
    """`stopping`: set when the server stops. `still`: whether the caller is still who it was."""

    def __init__(
        self, store: Store, sight: Sight, asked: Asked, form: Form, stopping: asyncio.Event, still: Callable[[], Awaitable[bool]]
    ) -> None:
        self._store, self._sight, self._asked, self._form = store, sight, asked, form
        self._stopping, self._still = stopping, still
        self._position, self._sent = asked.after, 0
        self._away = False
        self._told = self._looked = time.monotonic()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Ends with the server, with what was asked for, or when the caller's key is no longer what it was."""
        if begin := self._form.begin():
            yield begin
        if self._is_done():
            return
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                if time.monotonic() - self._looked >= ALIVE_SECONDS or not batch:  # a busy log has no empty batches
                    if not await self._still():
                        return
                    self._looked = time.monotonic()
                if not batch:
                    yield await self._sign()
                for piece in (batch[begin : begin + PIECE] for begin in range(0, len(batch), PIECE)):
                    while (documents := await self._documents(piece)) is None:
                        yield await self._sign()
                        await self._pause()
                        if self._stopping.is_set():
                            return
                    if chunk := self._written(piece, documents):
                        yield chunk
                    if self._is_done():
                        return

    async def _batches(self) -> AsyncGenerator[Sequence[Recorded], None]:
        """The log from `after` on; an empty batch when nothing came for a while."""
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            async with aclosing(self._store.follow(self._asked.after)) as batches:
                following = asyncio.ensure_future(anext(batches))
                try:
                    while True:
                        await asyncio.wait({following, stop}, timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                        if stop.done():
                            return
                        if not following.done():
                            yield ()
                            continue
                        try:
                            yield following.result()
                        except StopAsyncIteration:  # the store is closed: the server stops
                            return
                        following = asyncio.ensure_future(anext(batches))
                finally:
                    following.cancel()
                    await asyncio.wait({following}, timeout=CHECK_SECONDS)
        finally:
            stop.cancel()

    async def _documents(self, piece: Sequence[Recorded]) -> list[Json] | None:
        """None: the database is away, which whoever calls tells, and asks again."""
        try:
            return await self._sight.documents(event for event in piece if self._asked.fits(event))
        except StoreError:
            return None

    def _written(self, piece: Sequence[Recorded], documents: list[Json]) -> bytes:
        """A sign of life where nothing of much that was looked through was to be seen; mostly nothing, then."""
        self._position, self._away = piece[-1].position, False
        if self._asked.limit is not None:
            documents = documents[: self._asked.limit - self._sent]
        self._sent += len(documents)
        if not documents and time.monotonic() - self._told < ALIVE_SECONDS:
            return b""
        self._told = time.monotonic()
        return b"".join(map(self._form.event, documents)) or self._form.alive(self._position)

    def _is_done(self) -> bool:
        whole = self._asked.to is not None and self._position >= self._asked.to
        return whole or (self._asked.limit is not None and self._sent >= self._asked.limit)

    async def _sign(self) -> bytes:
        """That the stream lives; or, once each time, that the database (or a part of the archive) is away."""
        self._told = time.monotonic()
        trouble = await self._trouble()
        before, self._away = self._away, trouble is not None
        return self._form.away(trouble) if trouble is not None and not before else self._form.alive(self._position)

    async def _trouble(self) -> Json | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                if await self._store.head() > self._position:
                    await self._store.read_all(self._position, 1)
        except StoreError as error:
            return error_document(error)
        except TimeoutError:
            return error_document(Unavailable("the database does not answer; the stream goes on when it does"))
        return None

    async def _pause(self) -> None:
        waiting = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({waiting}, timeout=AGAIN_SECONDS)
        waiting.cancel()
