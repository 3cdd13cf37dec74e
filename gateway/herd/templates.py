"""Container templates, each the body of an engine's create request: resources of all servers, and files in the folder of this one.

A resource is a genericObject of kind KIND, whose data has the body under the key that it has in an instance. It goes before a file of its
name; of several the newest counts.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

from commands.errors import NotFound, Refused
from commands.resource import ACTIVE
from gateway.services import Services
from projections.query import Filter, Query

Json = dict[str, Any]

FOLDER = "templates"
"""In the home."""
KIND = "containerTemplate"
BODY = "dockerCreate"
"""Of an instance's data: what is passed on to its engine (docs/docker.md)."""
MOST_NAMED = 20
"""Of those that there are, where one is not."""


async def body_of(services: Services, name: str) -> Json:
    """Raises NotFound, and Refused for one that can't be read."""
    type = services.catalogue.type("genericObject")
    query = Query(type, kind=KIND, filters=(Filter(type.fields["name"], "eq", name),), show_removed=0, descending=True)
    for seen in await services.views.rows(query):
        if seen.resource.state in ACTIVE:
            id = f"{type.prefix}{seen.resource.id}"
            return _checked(seen.resource.data.get(BODY), f"template {name} ({id}): its data has no {BODY} that is a JSON object")
    files = await asyncio.to_thread(_files, services.templates)
    if name in files:
        return await asyncio.to_thread(_read, name, files[name])
    raise NotFound(f"there is no template {name[:60]!r}: {await _known(services, files)}")


async def _known(services: Services, files: dict[str, Path]) -> str:
    seen = await services.views.rows(Query(services.catalogue.type("genericObject"), kind=KIND, show_removed=0, limit=MOST_NAMED))
    names = sorted({*files, *(str(each.resource.row.get("name")) for each in seen if each.resource.state in ACTIVE)})
    if not names:
        return f"there is none yet. Put NAME.json into {FOLDER} of this server's home, or make a genericObject of kind {KIND}"
    return f"there are {', '.join(names[:MOST_NAMED])}"


def _files(folder: Path | None) -> dict[str, Path]:
    return {each.stem: each for each in folder.glob("*.json") if each.is_file()} if folder is not None else {}


def _read(name: str, path: Path) -> Json:
    wrong = f"template {name}: {FOLDER}/{path.name} of this server's home"
    try:
        read = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Refused("InvalidFormat", f"{wrong} can't be read: {error}", "template") from error
    return _checked(read, f"{wrong} is no JSON object")


def _checked(body: Any, wrong: str) -> Json:
    if not isinstance(body, dict):
        raise Refused("InvalidFormat", wrong, "template")
    return body
