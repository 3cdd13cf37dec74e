"""/healthz, /readyz and /metrics: at the gateway's own port, and, where a port is set for them, at one of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from commands.errors import Refused
from deploy.health import readiness
from deploy.metrics import exposition
from deploy.watched import Watched, look
from eventstore import StoreError
from gateway.responses import error_response, json_response
from projections.errors import ViewsError

OPEN = "api.metrics.open"
"""The setting under which whoever reaches a server may read its figures."""


class Probes:
    """Answers for one process."""

    def __init__(self, watched: Watched, settings: Mapping[str, Any]) -> None:
        self._watched, self._settings = watched, settings

    def routes(self, *, trusted: bool = False) -> list[Route]:
        """`trusted`: only this machine reaches them, and needs no key."""

        async def metrics(request: Request) -> Response:
            try:
                if not trusted:
                    await self._check(request)
            except (Refused, StoreError, ViewsError) as error:
                return error_response(error, {})
            body, media = exposition(self._watched, await look(self._watched), request.headers.get("accept", ""))
            return Response(body, 200, {"Content-Type": media})

        return [Route("/healthz", self._alive), Route("/readyz", self._ready), Route("/metrics", metrics)]

    def app(self, *, trusted: bool) -> Starlette:
        """For a port of their own."""
        return Starlette(routes=self.routes(trusted=trusted))

    async def _check(self, request: Request) -> None:
        """Raises Refused: figures tell of all accounts."""
        if self._settings[OPEN]:
            return
        if self._watched.callers is None:
            raise Refused("Service Unavailable", "this process has just begun: ask again in a moment", status=503)
        caller = await self._watched.callers.of(request)
        if caller.user:
            raise Refused("Forbidden", f"figures are for admins, or for all with the setting {OPEN}", status=403)

    async def _alive(self, request: Request) -> Response:
        return json_response({"alive": True, "roles": list(self._watched.roles)}, 200, {})

    async def _ready(self, request: Request) -> Response:
        ready, document = readiness(self._watched, await look(self._watched))
        return json_response(document, 200 if ready else 503, {})
