"""What the server says of networks, kept in force on this host: the engine's bridges, the ways between them, and the names.

    network.apply (the whole document) -> kept in the agent's folder -> bridges, ways, names -> in force: instances may start
                                   every few seconds: the same again, for whatever was lost, and what no longer is wanted goes
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from agents.driver import DriverError, Json
from agents.joining.files import keep
from agents.jsons import dumps, loads
from agents.network.segments import BadDocument, Document, Nic, Segment, nics_of, read

if TYPE_CHECKING:
    from agents.network.responder import Responder

log = structlog.get_logger("corral.agent.network")

KNOWN_SECONDS = 20.0
"""For which a start waits until the server has told where the instance's networks are."""
AGAIN_SECONDS, SOON_SECONDS = 10.0, 1.0
"""Between two looks whether all is as it should be; the latter while something is not."""

FILE = "networks.json"

UNTOLD = "untold"
"""Instead of a version, as long as the server has told nothing: what is there stays until it does."""


class Bridges(Protocol):
    """What an engine does for it."""

    async def ensure(self, segment: Segment, mtu: int) -> None:
        """The segment's bridge is there, with the gateway's address, and instances can be put on it. Raises DriverError."""

    async def present(self) -> set[int]:
        """The segments that have one, as far as they are Corral's. Raises DriverError."""

    async def release(self, segment: int) -> bool:
        """Removes it with all that belongs to it, unless an instance is on it still: False. Raises DriverError."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """How an instance is to be put on a bridge. `names`: whom it asks for names, those of the host itself last; none: whom the engine
    says."""

    bridge: str
    address: str
    mac: str
    names: tuple[str, ...]
    mtu: int
    """Of what goes through the bridge to other hosts."""


class Networks:
    """Of one agent. `underlay`: the host's own address, at which the other hosts find it."""

    def __init__(self, bridges: Bridges, underlay: str, responder: Responder | None = None) -> None:
        self.underlay = underlay
        self._bridges = bridges
        self._responder = responder
        self._document = Document(UNTOLD)
        self._in_force: Document | None = None
        self._trouble: dict[int, str] = {}
        self._path: Path | None = None
        self._one = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._keeping: asyncio.Task[None] | None = None
        self._left: set[int] = set()
        self._named: set[int] = set()
        """The segments on which names are answered."""
        self._swept = False

    @property
    def version(self) -> str:
        """Of what the server told last."""
        return self._document.version

    async def open(self, folder: Path) -> None:
        """What was told last counts until the server says more, which may be newer or older by its count."""
        self._path = folder / FILE
        with suppress(OSError, ValueError):
            self._document = read({**loads(self._path.read_bytes()), "position": 0})
        self._keeping = asyncio.create_task(self._keep_up(), name="networks")

    async def close(self) -> None:
        """What is in force stays: instances go on talking. (Names are not answered until the agent is back.)"""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping}, timeout=5)
        if self._responder is not None:
            await self._responder.close()

    async def apply(self, data: Mapping[str, Any]) -> Json:
        """The answer to network.apply. Raises DriverError for what can't be understood; what can't be put into force is told."""
        try:
            document = read(data)
        except BadDocument as error:
            raise DriverError(str(error)) from None
        if document.position >= self._document.position:
            self._document = document
            if self._path is not None:
                await asyncio.to_thread(keep, self._path, dumps(dict(data)).decode())
            await self._put_in_force()
        trouble = {str(number): said for number, said in self._trouble.items()}
        return {"version": self.version, "trouble": trouble}

    async def prepare(self, instance: Mapping[str, Any]) -> list[Attachment]:
        """Waits until the instance's networks are in force here. Raises DriverError, saying why they can't be."""
        nics, uuid = nics_of(instance), str(instance.get("uuid"))
        if not nics:
            return []
        try:
            async with asyncio.timeout(KNOWN_SECONDS), self._changed:
                while not all(self._knows(nic, uuid) for nic in nics):
                    await self._changed.wait()
        except TimeoutError:
            missing = ", ".join(f"{nic.network} ({nic.address})" for nic in nics if not self._knows(nic, uuid))
            raise DriverError(
                f"the server has not told within {KNOWN_SECONDS:.0f} s which hosts take part in network {missing}: look at its engine's log"
            ) from None
        room = await asyncio.to_thread(_room, self.underlay)
        return [self._attachment(nic, room) for nic in nics]

    def _knows(self, nic: Nic, uuid: str) -> bool:
        segment = self._in_force.segments.get(nic.segment) if self._in_force is not None else None
        return segment is not None and any((each.instance, each.address) == (uuid, nic.address) for each in segment.endpoints)

    def _attachment(self, nic: Nic, room: int) -> Attachment:
        if (wrong := self._trouble.get(nic.segment)) is not None:
            raise DriverError(f"network {nic.network}: {wrong}")
        segment = self._document.segments.get(nic.segment)
        if segment is None:
            raise DriverError(f"network {nic.network} left this host while the instance was about to start on it")
        responder = self._responder
        names = (segment.gateway, *responder.others()) if responder is not None and responder.listens(segment.gateway) else ()
        return Attachment(segment.bridge, nic.address, nic.mac, names, segment.mtu(room))

    async def _keep_up(self) -> None:
        while True:
            try:
                await self._put_in_force()
            except Exception:  # whatever it was, it is tried again
                log.exception("Networks can't be kept in force", action="networks-broke")
            await asyncio.sleep(SOON_SECONDS if self._trouble or self._left else AGAIN_SECONDS)

    async def _put_in_force(self) -> None:
        async with self._one:
            document = self._document
            trouble = {number: said for number, each in document.segments.items() if (said := await self._bring(each)) is not None}
            for number, said in trouble.items():
                if self._trouble.get(number) != said:
                    log.warning("A network can't be put into force", action="network-trouble", segment=number, error=said)
            self._trouble = trouble
            if self._responder is None and document.segments:
                self._responder = await asyncio.to_thread(_responder)
            if self._responder is not None:
                # Not those that never were in force, as their addresses may be another's here. One that was goes on without its engine.
                self._named = {number for number in document.segments if number not in trouble or number in self._named}
                segments = {number: each for number, each in document.segments.items() if number in self._named}
                self._responder.tell(replace(document, segments=segments))
                await self._responder.listen(each.gateway for each in segments.values())
            await self._let_go(document)
            self._in_force = document
            async with self._changed:
                self._changed.notify_all()

    async def _bring(self, segment: Segment) -> str | None:
        """What is wrong, if something is."""
        try:
            await self._bridges.ensure(segment, segment.mtu(await asyncio.to_thread(_room, self.underlay)))
            await asyncio.to_thread(_open_ways, segment, self.underlay)
        except DriverError as error:
            return str(error)
        return None

    async def _let_go(self, document: Document) -> None:
        if document.version == UNTOLD:
            return
        try:
            unwanted = await self._bridges.present() - document.segments.keys()
            left = set()
            for number in unwanted:
                await asyncio.to_thread(_close_ways, number)
                if not await self._bridges.release(number):
                    left.add(number)
            self._left = left
            if document.segments or (self._in_force is not None and self._in_force.segments):
                await asyncio.to_thread(_sweep, document, whole=not self._swept)
                self._swept = True
        except DriverError as error:
            log.debug("What is left of networks can't be seen", action="networks-unseen", error=str(error))


# The libraries behind these take a second to import, which hosts without such networks need not spend.


def _responder() -> Responder:
    from agents.network.responder import Responder

    return Responder()


def _room(underlay: str) -> int:
    from agents.network import ways

    return ways.room(underlay)


def _open_ways(segment: Segment, underlay: str) -> None:
    from agents.network import ways

    ways.ensure(segment, underlay)


def _close_ways(number: int) -> None:
    from agents.network import ways

    ways.remove(number)


def _sweep(document: Document, *, whole: bool) -> None:
    from agents.network import ways

    ways.sweep(document, whole=whole)
