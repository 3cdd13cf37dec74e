"""/v1/settings and /v1/activesettings: every setting with its value in force and where that comes from; changed here, in force everywhere.

    id 1as!engine.turns    a setting by its name; PUT stores a value for it, DELETE takes every stored one away
    id 1as5 (or 1s5)       what is stored as row 5; the newest row of a name counts

A change is in the log before it is answered, and in force on this server with its answer; on the others when they look (settings_watch).
"""

from __future__ import annotations

from typing import Any

from commands.catalogue.fields import Submission, validated
from commands.catalogue.ids import named, number_of
from commands.catalogue.model import ResourceType
from commands.catalogue.secrets import MASK
from commands.errors import NotFound
from commands.settings.in_force import Active, Row, text_of
from commands.settings.setting_rows import SETTING, as_stored
from commands.settings.settings import is_secret
from commands.watching.settings_watch import SettingsWatch
from gateway.documents import Documents
from gateway.errors import MethodNotAllowed
from gateway.request import ApiRequest
from gateway.services import Services
from gateway.writes import READ_YOUR_WRITES, Answer, Writes

Json = dict[str, Any]

ACTIVE_SETTING = "activeSetting"
TYPES = (SETTING, ACTIVE_SETTING)


class SettingsDoor:
    """One request about settings."""

    def __init__(self, services: Services, watch: SettingsWatch, request: ApiRequest, type: ResourceType) -> None:
        self._services, self._watch, self._request, self._type = services, watch, request, type
        self._documents = Documents(services.catalogue, request)

    @classmethod
    def of(cls, services: Services, request: ApiRequest, type: ResourceType) -> SettingsDoor | None:
        """None: the request is about something else, and answered as others are."""
        if services.watch is None or type.name not in TYPES or len(request.parts) > 2 or request.param("action"):
            return None
        return cls(services, services.watch, request, type)

    async def read(self) -> Json:
        self._allow(collection=len(self._request.parts) == 1)
        await self._watch.look()
        if len(self._request.parts) == 1:
            return self._documents.collection(self._type, [self._document(*each) for each in self._all()])
        return self._document(*self._found(self._request.parts[1]))

    async def write(self) -> Answer:
        self._allow(collection=len(self._request.parts) == 1)
        await self._watch.look()
        match self._request.method, self._request.parts:
            case "POST", (_,):
                return await self._create()
            case "PUT", (_, text):
                return await self._update(*self._found(text))
            case "DELETE", (_, text):
                return await self._delete(*self._found(text))
        raise MethodNotAllowed(self._request.method, "this path")

    def _allow(self, *, collection: bool) -> None:
        methods = self._request.caller.methods(self._type)
        allowed = methods.collection if collection else methods.resource
        if self._request.method == "GET" and collection:
            allowed = methods.resource  # both types list the same, which who may see one of may see
        if self._request.method not in allowed:
            raise MethodNotAllowed(self._request.method, self._type.plural)

    # --- writing ---

    async def _create(self) -> Answer:
        answer = await Writes(self._services, self._request).create(self._type)
        await self._watch.look()
        texts = {row.id: row.text for _, row in self._all() if row is not None}
        for document in answer.document.get("data", [answer.document]):
            if is_secret(name := str(document.get("name"))):
                document["value"] = self._shown(name, texts.get(number_of(document["id"], plain=True) or 0))
        return answer

    async def _update(self, active: Active, row: Row | None) -> Answer:
        fields = await validated(self._services.catalogue.type(SETTING), self._request.one(), Submission("update"))
        if "value" not in fields:
            return await self._answer(active.name, row, 0)
        if (position := await self._before(row)) is not None:
            return await self._answer(active.name, row, position)
        stored = as_stored(self._services.settings, {"name": active.name, "value": fields["value"]})
        commands, actor, key = self._services.commands, self._request.actor, self._request.key
        if row is None:
            outcome = await commands.create(SETTING, stored, actor, key)
        else:
            del stored["name"]
            outcome = await commands.update(SETTING, row.id, stored, actor, key)
        return await self._answer(active.name, row, outcome.position)

    async def _delete(self, active: Active, row: Row | None) -> Answer:
        """By name: of everything that is stored under it."""
        position = await self._before(row)
        if position is None:
            rows = active.rows if named(self._request.parts[1]) or row is None else (row,)
            position = 0
            for index, each in enumerate(rows):
                key = self._request.key if index == 0 else None
                position = (await self._services.commands.delete(SETTING, each.id, self._request.actor, key)).position
        return await self._answer(active.name, None, position)

    async def _before(self, row: Row | None) -> int | None:
        """The position of this very request, if it was carried out before."""
        if self._request.key is None:
            return None
        outcome = await self._services.commands.before(self._request.key, SETTING, row.id if row is not None else 0)
        return outcome.position if outcome is not None else None

    async def _answer(self, name: str, row: Row | None, position: int) -> Answer:
        """The setting as it is now; once it is neither stored nor anybody's any more, without a value."""
        await self._watch.look()
        await self._services.views.wait_for(position, READ_YOUR_WRITES)
        now = next((each for each in self._watch.settings.active() if each.name == name), Active(name, None, None))
        left = next((each for each in now.rows if row is not None and each.id == row.id), now.rows[-1] if now.rows else None)
        return Answer(200, self._document(now, left), position)

    # --- what there is ---

    def _all(self) -> list[tuple[Active, Row | None]]:
        """Each row that is stored, and each name that has none."""
        return [(active, row) for active in self._watch.settings.active() for row in active.rows or (None,)]

    def _found(self, text: str) -> tuple[Active, Row | None]:
        every = self._all()
        number = number_of(text, plain=self._request.plain_ids)
        name = named(text) or (text if self._request.plain_ids else "")
        if number is not None:
            found = [each for each in every if each[1] is not None and each[1].id == number]
        else:  # links are in small letters, whatever a name has
            found = [each for each in every if each[0].name == name] or [each for each in every if each[0].name.lower() == name.lower()]
        if not found:
            raise NotFound(f"there is no setting {text}: GET /v1/settings lists all")
        return found[-1]

    def _document(self, active: Active, row: Row | None) -> Json:
        type = self._services.catalogue.type(ACTIVE_SETTING)
        mark = "" if self._request.plain_ids else type.prefix
        number = f"{mark}{row.id}" if row is not None else f"{mark}!{active.name}" if mark else active.name
        value = row.text if row is not None and row.text is not None else text_of(active)
        fields = {
            "name": active.name,
            "activeValue": self._shown(active.name, text_of(active)),
            "inDb": row is not None,
            "source": active.source,
            "value": self._shown(active.name, value),
        }
        links = {"self": self._request.link(type.plural, number)}
        return {"id": number, "type": type.name, "links": links, "actions": {}, **fields}

    def _shown(self, name: str, text: str | None) -> str | None:
        """A secret's value is for who may change it."""
        may_see = text is None or not is_secret(name) or "PUT" in self._request.caller.methods(self._type).resource
        return text if may_see else MASK
