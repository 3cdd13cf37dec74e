"""What a person calls a thing -> the thing: by API id (1i54), stream (instance-54), name, uuid, or the prefix of an engine's id.

An id's letters may stand for several types (1a is accounts and agents), and names need not be unique. Where more than one thing
is meant it has to be said which. Only images give way: 1i4 and nginx are the instance, where there is one, and not its image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from commands.catalogue.ids import number_of
from commands.catalogue.model import ResourceType
from commands.resource import split_stream
from deploy.cli.catalogue import catalogue
from deploy.cli.client import Client
from deploy.cli.errors import Failed, ServerRefused

Json = dict[str, Any]
T = TypeVar("T")

_ID = re.compile(r"(1[a-z]+)!?([0-9]{1,18})")
_ENGINE_ID = re.compile(r"[0-9a-f]{4,64}")

INSTANCES = ("instance",)


class Unknown(Failed):
    """Nothing goes by that name."""


class Ambiguous(Failed):
    """Several things do."""

    def __init__(self, text: str, candidates: Sequence[Thing]) -> None:
        lines = "\n".join(f"  {each.stream:<24} {each.id:<10} {each.state:<12} {each.name or ''}".rstrip() for each in candidates)
        super().__init__(f"{text} may be one of these; name it by its stream:\n{lines}")
        self.candidates = tuple(candidates)


@dataclass(frozen=True, slots=True)
class Thing:
    """A resource of the server, with the document that it answered."""

    type: str
    """The root type: instance for a container."""
    document: Json

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def number(self) -> int:
        number = number_of(self.id, plain=True)
        assert number is not None, f"{self.id} is not an id"
        return number

    @property
    def stream(self) -> str:
        return f"{self.type}-{self.number}"

    @property
    def name(self) -> str | None:
        return self.document.get("name")

    @property
    def state(self) -> str:
        return str(self.document.get("state") or "")

    @property
    def path(self) -> str:
        """Of the type that it is shown as: /v1/containers/1i54. Some roots can't be written to themselves."""
        shown = self.document.get("type")
        return path_of(shown if shown in catalogue().types else self.type, self.number)

    @property
    def title(self) -> str:
        """web (1i54), or 1i54."""
        return f"{self.name} ({self.id})" if self.name else self.id


def root_types() -> list[ResourceType]:
    """The types that streams are of."""
    return [each for each in catalogue().types.values() if each.stored and each.parent is None]


def named_types() -> list[ResourceType]:
    """Those of them whose things have names to look them up by, and lists to look in."""
    return [each for each in root_types() if {"name", "uuid"} <= each.fields.keys() and "GET" in each.admin.collection]


def path_of(type_name: str, number: int) -> str:
    kind = catalogue().type(type_name)
    return f"/v1/{kind.plural.lower()}/{kind.prefix}{number}"


def stream_meant(text: str) -> tuple[str, int] | None:
    """instance-54, Instance-54 and container-54 -> ("instance", 54); None for what is not written as a stream."""
    try:
        word, number = split_stream(text)
    except ValueError:
        return None
    found = catalogue().by_path(word)
    return (catalogue().root_type(found.name).name, number) if found is not None and found.stored else None


def ids_meant(text: str) -> list[tuple[str, int]]:
    """What an API id may stand for, the likeliest first: 1a3 -> [("agent", 3), ("account", 3)]."""
    found = _ID.fullmatch(text.lower())
    if found is None:
        return []
    return [(each.name, int(found[2])) for each in root_types() if each.prefix == found[1]]


def resolve(client: Client, text: str, types: Sequence[str] | None = None) -> Thing:
    """The one thing that `text` names (of these types; None: of any). Raises Unknown or Ambiguous."""
    wanted = list(types) if types is not None else [each.name for each in root_types()]
    listed = list(types) if types is not None else [each.name for each in named_types()]
    stream = stream_meant(text)
    references = [stream] if stream else ids_meant(text)
    found = [thing for kind, number in references if kind in wanted and (thing := _fetch(client, kind, number)) is not None]
    if not found:
        found = _one_of_each(_named(client, text, listed))
    found = images_give_way(found, lambda each: each.type)
    if len(found) > 1:
        raise Ambiguous(text, found)
    if not found:
        raise Unknown(_nothing(text, references, types))
    return found[0]


def resolve_host(client: Client, text: str, kinds: Iterable[str]) -> Thing:
    """A machine with several engines is several hosts of one name: the one of these kinds is meant. Raises Unknown or Ambiguous."""
    try:
        return resolve(client, text, ("host",))
    except Ambiguous as error:
        wanted = set(kinds)
        fitting = [each for each in error.candidates if each.document.get("kind") in wanted]
        if len(fitting) != 1:
            raise
        return fitting[0]


def images_give_way(things: Sequence[T], type_of: Callable[[T], str]) -> list[T]:
    """1i4 and nginx are the instance, whatever its state, and not its image."""
    instance = any(type_of(each) == "instance" for each in things)
    return [each for each in things if not (instance and type_of(each) == "image")]


def engine_id(document: Json) -> str:
    """The id that the container engine gave to what runs the instance ("": none)."""
    container = (document.get("data") or {}).get("dockerContainer")
    return str(container.get("Id") or "") if isinstance(container, dict) else ""


def _fetch(client: Client, type_name: str, number: int) -> Thing | None:
    document = client.find(path_of(type_name, number))
    return Thing(type_name, document) if document is not None else None


def _named(client: Client, text: str, types: Sequence[str]) -> list[Thing]:
    """Those of this name, uuid or engine id; of several with one name, those that still live."""
    found: list[Thing] = []
    for name in types:
        path = f"/v1/{catalogue().type(name).plural.lower()}"
        for field in ("name", "uuid"):
            found += [Thing(name, each) for each in _listed(client, path, **{field: text})]
    if "host" in types:
        found += _hosts_of(client, text)
    if "instance" in types and _ENGINE_ID.fullmatch(text.lower()):
        instances = client.all("/v1/instances")
        found += [Thing("instance", each) for each in instances if engine_id(each).startswith(text.lower())]
    found = images_give_way(found, lambda each: each.type)  # also to a removed one: what is done to it must not fall upon the image
    living = [each for each in found if each.document.get("removed") is None]
    return living or found


def _hosts_of(client: Client, agent: str) -> list[Thing]:
    """Hosts without a name of their own are shown by their agent's: who writes it may mean the one or the other."""
    agents = {each["id"] for each in _listed(client, "/v1/agents", name=agent)}
    hosts = _listed(client, "/v1/hosts") if agents else []
    return [Thing("host", each) for each in hosts if each.get("agentId") in agents and not each.get("name") and not each.get("removed")]


def _listed(client: Client, path: str, **filters: str) -> list[Json]:
    """Nothing, where the caller's kind of account has no such type (404)."""
    try:
        return client.all(path, **filters)
    except ServerRefused as refused:
        if refused.http_status != 404:
            raise
        return []


def _one_of_each(things: Iterable[Thing]) -> list[Thing]:
    return list({each.stream: each for each in things}.values())


def _nothing(text: str, references: Sequence[tuple[str, int]], types: Sequence[str] | None) -> str:
    kinds = " or ".join(types) if types else "thing"
    if references:
        return f"there is no {kinds} {text}"
    lists: dict[tuple[str, ...], str] = {("instance",): "`corral ps -a` lists them", ("host",): "`corral hosts` lists them"}
    hint = lists.get(tuple(types or ()), "`corral ps -a` lists instances, `corral hosts` hosts")
    return f"there is no {kinds} with the name, uuid or engine id {text!r}: {hint}"
