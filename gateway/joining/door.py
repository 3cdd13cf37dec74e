"""What of the API is neither a document nor a list, as machines that join ask for it: scripts, the command to paste, config items."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from commands.errors import NotFound
from commands.logic.registration_tokens import REGISTRATION_TOKEN
from gateway.access.callers import Callers
from gateway.errors import MethodNotAllowed
from gateway.html.door import check_csrf
from gateway.joining import content, scripts, tokens
from gateway.request import VERSION, ApiRequest, path_parts, read_request
from gateway.resources import found
from gateway.services import Services


class Door:
    """Answers /v1/scripts/..., /v1/registrationtokens/<id>/command and /v1/configcontent/<item>."""

    def __init__(self, services: Services, callers: Callers) -> None:
        self._services, self._callers = services, callers
        self._tokens, self._content = services.catalogue.type(REGISTRATION_TOKEN), services.catalogue.type(content.CONTENT)

    def is_for(self, request: Request) -> bool:
        parts = path_parts(request)
        if not parts or parts[0].lower() != VERSION:
            return False
        return scripts.is_for(request) or self._is_content(parts[1:]) or self._is_command(parts[1:])

    async def answer(self, request: Request, correlation: str, headers: dict[str, str]) -> Response:
        """Raises Refused, and what the store and the views raise."""
        if scripts.is_for(request):
            return await scripts.answer(self._services, self._callers, request, headers)
        read = await read_request(request, self._callers, self._services.settings, correlation)
        check_csrf(request, read.method)
        if self._is_content(list(read.parts)):
            return await content.answer(self._services, read, read.parts[1], headers)
        return PlainTextResponse(await self._command(read), headers=headers)

    async def _command(self, request: ApiRequest) -> str:
        if not request.caller.sees(self._tokens):
            raise NotFound(f"there is no type {request.parts[0]}")
        if request.method != "GET":
            raise MethodNotAllowed(request.method, "the command to join")
        resource = await found(self._services, request, self._tokens, request.parts[1])
        return await tokens.command(self._services, request, resource) + "\n"

    def _is_content(self, parts: list[str]) -> bool:
        return len(parts) == 2 and self._services.catalogue.by_path(parts[0]) is self._content

    def _is_command(self, parts: list[str]) -> bool:
        return len(parts) == 3 and parts[2].lower() == "command" and self._services.catalogue.by_path(parts[0]) is self._tokens
