"""Lets in who connects to NATS, and turns out who is no longer to be there: by what the log says at that moment.

    somebody connects  -> NATS asks (one engine hears it) -> their key is that of a row that stands -> they may hear and say what is theirs
    a row changes      -> who is connected with a key that is good no more is cut off, by whichever engine sees it first

NATS holds nothing of this: wiped and started anew, it asks again. While no engine answers it lets nobody new in, and all try again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from nats.aio.msg import Msg

from commands.admission.holders import NATS_KEY, SEEN, WATCHER, Holder, registered, rights
from commands.admission.keys import NatsKeys, public
from commands.admission.requests import ACCOUNT, AUTH_SUBJECT, Request, admission, read, refusal
from commands.sending.connection import Connection
from commands.turns.fleet import Fleet
from eventstore import Store, StoreError

log = structlog.get_logger("corral.doorkeeper")

PATIENCE = 1.8
"""Seconds that NATS gives a client to be let in, and so the age beyond which its question needs no answer. It must be less than two:
then NATS pings, and its Python client takes that for being connected (it would wait for the rest for ever)."""

CATCH_UP = 1.0
"""Seconds for which a key that the fleet does not know yet waits for it to hold all that is in the log."""

MOST_WAITING = 256
"""Unknown keys that wait at the same time. Beyond that they are refused at once, and try again."""

LOOK = 0.5
SWEEP = 60.0
"""Seconds between looks at who is connected where nothing happened that could end a connection."""

PAGE = 500


@dataclass(slots=True)
class Admissions:
    """What this one did, since it started."""

    admitted: int = 0
    refused: int = 0
    cut_off: int = 0


class Doorkeeper:
    """`run` as a task, beside the engine. `fleet`: the engine's own, as it is now."""

    def __init__(
        self, url: str, keys: NatsKeys, store: Store, fleet: Callable[[], Fleet], see: Callable[[int], Awaitable[None]],
        options: Callable[[str], Mapping[str, Any]],
    ) -> None:  # fmt: skip
        """`see`: waits until the fleet has taken in the log up to there. `options`: seed -> how NATS' client connects with it."""
        self._keys, self._store, self._fleet, self._see = keys, store, fleet, see
        self._door = Connection(url, "corral doorkeeper", options=options(keys.server))
        self._system = Connection(url, "corral doorkeeper, inside", options=options(keys.system))
        self._own = frozenset({public(keys.server), public(keys.system)})
        self._inbox = f"_INBOX.corral.{public(keys.system)[-8:]}.{time.monotonic_ns():x}"
        self._watcher = public(keys.watcher)
        self._places: dict[str, str] = {}
        """Key -> the stream that had it when rows were last looked through, and how often they had changed then."""
        self._placed: tuple[int, ...] = ()
        self._swept: tuple[object, ...] = ()
        self._swept_at = 0.0
        self._waiting: set[asyncio.Task[None]] = set()
        self.counted = Admissions()

    @property
    def connected(self) -> bool:
        return self._door.connected and self._system.connected

    @property
    def connections(self) -> int:
        return self._door.connections

    async def run(self) -> None:
        await self._system.listen(self._inbox, self._on_page)
        await self._door.listen(AUTH_SUBJECT, self._on_request, queue="corral")
        try:
            await asyncio.gather(self._door.start(), self._system.start())
            while True:
                await self._look()
                await asyncio.sleep(LOOK)
        finally:
            for task in self._waiting:
                task.cancel()
            await self._door.close()
            await self._system.close()

    # --- who comes ---

    async def _on_request(self, message: Msg) -> None:
        try:
            request = read(message.data)
        except ValueError as error:
            log.warning("NATS asks what is not understood", action="admission-unread", error=str(error))
            return
        if time.time() - request.at > PATIENCE + 1:  # NATS counts whole seconds
            return
        if not request.key or not request.proven:
            await self._answer(message, request, None, "it shows no nkey, or not that it holds it")
        elif (holder := self._known(request.key)) is not None:
            await self._answer(message, request, holder)
        elif len(self._waiting) < MOST_WAITING:
            self._later(self._answer_later(message, request))
        else:
            await self._answer(message, request, None, "too many unknown keys at once")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _answer_later(self, message: Msg, request: Request) -> None:
        """It may have registered a moment ago, at another server."""
        try:
            async with asyncio.timeout(CATCH_UP):
                await self._see(await self._store.head())
        except (TimeoutError, StoreError) as error:
            log.info("Whose a key is is not known for sure", action="admission-late", error=repr(error))
        await self._answer(message, request, self._known(request.key), "nobody who may connect now has this key")

    async def _answer(self, message: Msg, request: Request, holder: Holder | None, why: str = "") -> None:
        now = int(time.time())
        if holder is None:
            self.counted.refused += 1
            log.info("Somebody is not let in at NATS", action="admission-refused", who=request.place, key=request.key, why=why)
            answer = refusal(self._keys, request, why, now)
        else:
            self.counted.admitted += 1
            answer = admission(self._keys, request, f"{holder.name}/{request.key}", holder.hears, holder.says, now)
        await self._door.publish(message.reply, answer)

    def _known(self, key: str) -> Holder | None:
        """By the fleet as it is now. Rows are looked through only for a key that is not where it was: when many come at once, rows change
        all the time."""
        if key == self._watcher:
            return WATCHER
        fleet = self._fleet()
        row = fleet.resources.get(self._places.get(key, ""))
        if (row is None or row.data.get(NATS_KEY) != key) and self._placed != (changes := self._changes()):
            self._placed, self._places = changes, registered(fleet)
            row = fleet.resources.get(self._places.get(key, ""))
        return rights(fleet, row) if row is not None and row.data.get(NATS_KEY) == key else None

    def _changes(self) -> tuple[int, ...]:
        changes = self._fleet().changes
        return tuple(changes[each] for each in SEEN)

    # --- who is there ---

    async def _look(self) -> None:
        now, due = (self._system.connections, self._changes()), time.monotonic() - self._swept_at > SWEEP
        if self._system.connected and (now != self._swept or due):
            self._swept, self._swept_at = now, time.monotonic()
            await self._ask_for_page("PING", 0)

    async def _ask_for_page(self, server: str, offset: int) -> None:
        """`server`: its id, or PING for all of a cluster."""
        asked = {"auth": True, "acc": ACCOUNT, "offset": offset, "limit": PAGE}
        await self._system.publish(f"$SYS.REQ.SERVER.{server}.CONNZ", json.dumps(asked).encode(), self._inbox)

    async def _on_page(self, message: Msg) -> None:
        try:
            page = json.loads(message.data)
            if "data" not in page:  # what is said of a connection that was cut off
                return
            server, told = page["server"]["id"], page["data"]
            there = [(int(each["cid"]), str(each.get("authorized_user") or "")) for each in told.get("connections") or []]
            end, total = int(told.get("offset") or 0) + len(there), int(told.get("total") or 0)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("NATS' list of its connections can't be read", action="connz-unread", error=repr(error))
            return
        gone = [(connection, user) for connection, user in there if user not in self._own and not self._is_let_in(user)]
        for connection, user in gone:
            await self._cut_off(server, connection, user)
        if gone:  # those that follow move up by so many: they are looked at again
            self._swept_at = time.monotonic() - SWEEP + LOOK
        if there and end < total:
            await self._ask_for_page(server, end)

    def _is_let_in(self, user: str) -> bool:
        name, _, key = user.partition("/")
        holder = self._known(key)
        return holder is not None and holder.name == name

    async def _cut_off(self, server: str, connection: int, user: str) -> None:
        self.counted.cut_off += 1
        log.warning("Somebody is cut off at NATS: their key is good no more", action="cut-off", who=user)
        await self._system.publish(f"$SYS.REQ.SERVER.{server}.KICK", json.dumps({"cid": connection}).encode(), self._inbox)
