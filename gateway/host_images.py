"""GET /v1/hosts/images and /v1/hosts/1h2/images: which images are on which host, as the hosts' own engines say just now.

    request -> the engines of these hosts, asked live -> what they list -> one row an image and host

Nobody is waited for longer than a live list may take: who did not answer is in `unanswered`, with the reason.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from agents.live import Json, LiveError
from agents.wire import LAST_TIME
from commands.catalogue.fields import date_text
from commands.errors import Refused
from commands.resource import Resource
from gateway.documents import Documents
from gateway.errors import MethodNotAllowed
from gateway.herd import hosts
from gateway.live.asking import Asker
from gateway.live.lists import listed, of_each
from gateway.request import ApiRequest
from gateway.resources import found
from gateway.services import Services

IMAGES = "images"
UNNAMED = ("<none>:<none>", "<none>@<none>")
"""How an engine writes that an image has no name, or no digest."""


class HostImages:
    """Of one server."""

    def __init__(self, services: Services, asker: Asker) -> None:
        self._services, self._asker = services, asker

    def is_for(self, request: ApiRequest) -> bool:
        if not request.parts or request.parts[-1].lower() != IMAGES or len(request.parts) not in (2, 3):
            return False
        type = self._services.catalogue.by_path(request.parts[0])
        return type is not None and type.name == hosts.HOST and request.caller.sees(type)

    async def read(self, request: ApiRequest) -> Json:
        """Of one host, or of all of Docker's. Raises Refused."""
        type = self._services.catalogue.type(hosts.HOST)
        if "GET" not in request.caller.methods(type).collection:
            raise MethodNotAllowed("GET", f"the {IMAGES} of {type.plural}")
        if len(request.parts) == 3:
            asked = [await found(self._services, request, type, request.parts[1])]
        else:
            asked = [each.resource for each in await hosts.known(self._services, account=request.caller.scope)]
        if not self._asker.nats.connected:
            away = "NATS is away, over which hosts are asked for their images: try again when it is back"
            raise Refused("Service Unavailable", away, status=503)
        documents = Documents(self._services.catalogue, request)
        rows: list[Json] = []
        silent: list[Json] = []
        for host, answer in zip(asked, await of_each(asked, partial(self._images_of, request)), strict=True):
            where = {"hostId": documents.id_of(hosts.HOST, host.id), "hostName": host.row.get("name")}
            if isinstance(answer, str):
                silent.append({**where, "reason": answer})
            else:
                rows += [{"type": "hostImage", **where, **each} for each in answer]
        return {"type": "collection", "resourceType": "hostImage", "links": {"self": request.url}, "data": rows, "unanswered": silent}

    async def _images_of(self, request: ApiRequest, host: Resource) -> list[Json] | str:
        """The newest first; or why there are none to tell of."""
        if host.removed:
            return "the host is removed"
        if host.kind != hosts.DOCKER:
            return f"hosts of kind {host.kind} have no images that could be listed"
        name = hosts.name_of(self._services.catalogue, host)
        try:
            images = await listed(self._asker, host, name, IMAGES, request.caller.scope)
        except LiveError as error:
            return str(error)
        except Refused as error:
            return str(error.message)
        return sorted(map(_shown, images), key=lambda each: (-(each["createdTS"] or 0), str(each["id"])))


def _shown(image: Json) -> Json:
    """An image may say nothing of when it was made: its engine tells the year 1 then. (An agent may say anything.)"""
    created = image.get("Created")
    at, millis = (None, None)
    if isinstance(created, int) and 0 < created <= LAST_TIME // 1000:
        at, millis = date_text(datetime.fromtimestamp(created, UTC)), created * 1000
    return {
        "id": image.get("Id"),
        "names": _names(image.get("RepoTags")),
        "digests": _names(image.get("RepoDigests")),
        "size": image.get("Size"),
        "created": at,
        "createdTS": millis,
    }


def _names(given: object) -> list[str]:
    return [each for each in given if isinstance(each, str) and each not in UNNAMED] if isinstance(given, list) else []
