"""New containers, from an image, a template or the body of an engine's create request, spread evenly over the hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.live import Json
from commands.errors import Refused
from commands.logic.placement import FIRST
from commands.logic.storage import IMAGE_DRIVERS
from commands.resource import Resource
from gateway.herd import answers, hosts, templates
from gateway.herd.call import Call
from gateway.herd.settling import is_settled, settled
from gateway.live.finding import instance_of
from gateway.services import Services
from gateway.writes import MOST_AT_ONCE, READ_YOUR_WRITES, Writes

GONE = frozenset({"removed", "purged"})


class Creating:
    """Of one server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._type = services.catalogue.type("container")

    async def described(self, call: Call) -> Json:
        """By an image, or a template."""
        image, template = call.text("image"), call.text("template")
        if (image is None) == (template is None):
            raise Refused("MissingRequired", "give an image or a template: one of them", "image")
        if image is not None:
            return await self._create(call, image, {})
        body = await templates.body_of(self._services, str(template))
        return await self._create(call, _image_in(body, f"template {template}"), body)

    async def raw(self, call: Call) -> Json:
        body = call.given.get("body")
        if not isinstance(body, dict):
            raise Refused("MissingRequired", "body is the JSON object that the engine's own create request would have", "body")
        return await self._create(call, _image_in(body, "body"), body)

    async def _create(self, call: Call, image: str, body: Mapping[str, Any]) -> Json:
        services, many = self._services, call.given.get("instances")
        if many is not None and (not isinstance(many, int) or isinstance(many, bool) or not 1 <= many <= MOST_AT_ONCE):
            raise Refused("InvalidFormat", f"instances is a number from 1 to {MOST_AT_ONCE}", "instances")
        if body and "c" not in call.request.caller.letters(self._type, self._type.fields["data"]):
            raise Refused("Forbidden", "an engine's own create body is for admins to give, also as a template: give an image", status=403)
        uuid = image if image.partition(":")[0] in IMAGE_DRIVERS else f"{hosts.DOCKER}:{image}"
        wanted: Json = {"imageUuid": uuid, "name": call.text("name"), "data": {templates.BODY: body} if body else None}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        targets = hosts.spread(await hosts.active(services, uuid.partition(":")[0]), many or 1)
        made = await asyncio.gather(*(self._create_one(call, wanted, each, number) for number, each in enumerate(targets)))
        given = [each for each in made if isinstance(each, Resource)]
        if not given:
            raise next(each for each in made if isinstance(each, Refused))
        ended = await settled(services, [each.stream for each in given], call.seconds, call.tell)
        told = await asyncio.gather(*(
            self._created(call, ended[each.stream], host) if isinstance(each, Resource) else self._refused(each, host)
            for each, host in zip(made, targets, strict=True)
        ))  # fmt: skip
        await services.views.wait_for(await services.store.head(), READ_YOUR_WRITES)
        return {"containers": told} if many is not None else told[0]

    async def _create_one(self, call: Call, wanted: Json, host: Resource, number: int) -> Resource | Refused:
        """The first has the request's own key; the others' are of a form that no client can send."""
        key = call.request.key
        own = replace(key, key=f"{key.key}\x1f{number}") if key is not None and number else key
        request = replace(call.request, items=[wanted], is_list=False, key=own)
        try:
            made = await Writes(self._services, request).create(self._type, {FIRST: host.id})
            return await instance_of(self._services, call.request, made.document["id"])
        except Refused as error:
            return error

    async def _created(self, call: Call, instance: Resource, host: Resource) -> Json:
        id = f"{self._type.prefix}{instance.id}"
        name = await hosts.of(self._services, instance) or hosts.name_of(self._services.catalogue, host)
        if not is_settled(instance):
            return answers.unfinished(self._services, name, instance, id, call.seconds)
        if instance.state in GONE or instance.fields.get("transitioning") == "error":
            return answers.refused(name, answers.why_not(instance))
        return answers.created(name, answers.id_of(instance, id))

    async def _refused(self, error: Refused, host: Resource) -> Json:
        return answers.refused(hosts.name_of(self._services.catalogue, host), str(error.message), error.status)


def _image_in(body: Mapping[str, Any], of: str) -> str:
    image = body.get("Image")
    if not isinstance(image, str) or not image:
        raise Refused("MissingRequired", f"{of} has no Image that is a text", "Image")
    return image
