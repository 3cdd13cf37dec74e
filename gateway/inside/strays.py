"""GET /corral/strays: what is on hosts and has no place there, as the engines tell it on NATS. For admins; `corral strays` shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from commands.errors import Refused
from commands.sending.connection import Connection
from eventstore import StoreError
from gateway.access.callers import Callers
from gateway.responses import error_response, json_response
from projections.errors import ViewsError

log = structlog.get_logger("corral.gateway.strays")

ENGINES = "corral.engine.*"
OLD_SECONDS = 20.0
"""An engine tells how it does every five seconds: of one that has not for so long, others have the agents now."""


@dataclass(frozen=True, slots=True)
class _Told:
    at: float
    strays: list[Any]


class Strays:
    """Of one gateway. `listen` before its connection is used."""

    def __init__(self, nats: Connection, callers: Callers) -> None:
        self._nats, self._callers = nats, callers
        self._engines: dict[str, _Told] = {}

    async def listen(self) -> None:
        await self._nats.listen(ENGINES, self._hear)

    def routes(self) -> list[Route]:
        return [Route("/corral/strays", self._answer)]

    async def _hear(self, message: Msg) -> None:
        try:
            vitals = orjson.loads(message.data)
        except ValueError:
            log.warning("What an engine tells of itself is no JSON", action="vitals-malformed", subject=message.subject)
            return
        strays = vitals.get("strays") if isinstance(vitals, Mapping) else None
        self._forget_old()
        self._engines[message.subject] = _Told(time.monotonic(), strays if isinstance(strays, list) else [])

    def _forget_old(self) -> None:
        since = time.monotonic() - OLD_SECONDS
        self._engines = {engine: told for engine, told in self._engines.items() if told.at >= since}

    async def _answer(self, request: Request) -> Response:
        try:
            caller = await self._callers.of(request)
            if caller.user:
                raise Refused("Forbidden", "what is on hosts is for admins to see", status=403)
        except (Refused, StoreError, ViewsError) as error:
            return error_response(error, {})
        self._forget_old()
        strays = [each for _, told in sorted(self._engines.items()) for each in told.strays]
        return json_response({"engines": len(self._engines), "strays": strays}, 200, {})
