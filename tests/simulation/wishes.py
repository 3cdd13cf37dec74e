"""What clients ask for in a simulation: a table. A new command is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from commands.errors import Refused
from commands.interventions import Cancel, ForceRemove, Intervention, Retry
from commands.resource import Json, Resource
from commands.service import Actor, Commands, Outcome
from eventstore import CommandKey

INTERVENTIONS: dict[str, Callable[[], Intervention]] = {"retry": Retry, "cancel": Cancel, "force-remove": ForceRemove}
LIFE = ("activate", "deactivate", "delete", "purge", "restore", "update")
OWNED = ("volume", "volumeStoragePoolMap", "instanceHostMap", "imageStoragePoolMap", "image", "storagePool", "storagePoolHostMap")


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that a client wants, as a row of the table says it."""

    verb: str
    types: tuple[str, ...]
    """The kinds of resource that it may be about; for a create: the type made."""
    weight: float
    given: Callable[[Random, dict[str, Resource]], Json] = field(default=lambda random, known: {})
    """The action's input, or the fields of a create or an update."""


def _container(random: Random, known: dict[str, Resource]) -> Json:
    fields: Json = {"imageUuid": f"sim:image-{random.randrange(3)}"}
    if random.random() < 0.15:
        fields["startOnCreate"] = False
    if random.random() < 0.2:
        fields["compute"] = random.randrange(0, 3)
    hosts = [each.id for each in known.values() if each.type == "host"]
    if hosts and random.random() < 0.2:
        fields["requestedHostId"] = random.choice(hosts)
    return fields


def _stop(random: Random, known: dict[str, Resource]) -> Json:
    return random.choice(({}, {}, {"deallocateFromHost": True}, {"remove": True}))


def _capacity(random: Random, known: dict[str, Resource]) -> Json:
    return {"computeFree": random.randrange(0, 4)}


def _volume_map(random: Random, known: dict[str, Resource]) -> Json:
    volumes = [each.id for each in known.values() if each.type == "volume"][-2:]
    pools = [each.id for each in known.values() if each.type == "storagePool"]
    return {"volumeId": random.choice(volumes or [1]), "storagePoolId": random.choice(pools or [1])}


def _name(random: Random, known: dict[str, Resource]) -> Json:
    return {"name": f"name-{random.randrange(1000)}"}


TABLE = (
    Wish("create", ("container",), 8, _container),
    Wish("start", ("instance",), 5),
    Wish("stop", ("instance",), 5, _stop),
    Wish("restart", ("instance",), 3),
    Wish("delete", ("instance",), 4),
    Wish("purge", ("instance",), 1),
    Wish("restore", ("instance",), 1.5),
    Wish("rename", ("instance", "host", "agent"), 1, _name),
    Wish("rename", ("host",), 1.5, _capacity),
    Wish("update", ("instance",), 1),
    *(Wish(verb, ("instance",), 0.7) for verb in INTERVENTIONS),
    *(Wish(verb, OWNED, 0.2) for verb in ("retry", "cancel")),
    *(Wish(verb, OWNED, 0.35) for verb in LIFE),
    Wish("create", ("volumeStoragePoolMap",), 1, _volume_map),
    *(Wish(verb, ("agent", "host"), 0.15) for verb in LIFE),
    Wish("activate", ("agent", "host", "storagePool"), 1.5),
    Wish("reconnect", ("agent",), 0.5),
)


@dataclass(frozen=True, slots=True)
class Request:
    """A wish about one thing, as it goes to a gateway, again with the same key until it is answered."""

    wish: Wish
    key: str
    type_name: str
    number: int | None
    given: Json

    @property
    def told(self) -> str:
        return f"{self.wish.verb} {self.type_name}{'' if self.number is None else f'-{self.number}'} {self.given or ''}".strip()

    async def carry_out(self, commands: Commands, account: int) -> Outcome:
        """As the gateway does it: the key is looked up first, and again after a refusal."""
        key = CommandKey(str(account), self.key, self.told)
        if (before := await self._before(commands, key)) is not None:
            return before
        try:
            return await self._carry_out(commands, Actor(account, self.key), key)
        except Refused:
            if (before := await self._before(commands, key)) is not None:
                return before
            raise

    async def _before(self, commands: Commands, key: CommandKey) -> Outcome | None:
        look = getattr(commands, "before", None)
        return None if look is None else await look(key, self.type_name, self.number)

    async def _carry_out(self, commands: Commands, actor: Actor, key: CommandKey) -> Outcome:
        given: dict[str, Any] = dict(self.given)
        match self.wish.verb:
            case "create":
                return await commands.create(self.type_name, {**given, "name": self.key}, actor, key)
            case "rename":
                return await commands.update(self.type_name, self.number or 0, given, actor, key)
            case "delete":
                return await commands.delete(self.type_name, self.number or 0, actor, key)
            case "retry" | "cancel" | "force-remove" as verb:
                return await commands.intervene(self.type_name, self.number or 0, INTERVENTIONS[verb](), actor, key)
            case verb:
                return await commands.run(self.type_name, self.number or 0, verb, given, actor, key)


def choose(random: Random, known: dict[str, Resource], key: str) -> Request | None:
    """The next wish, about something that is there."""
    wish = random.choices(TABLE, [each.weight for each in TABLE])[0]
    if wish.verb == "create":
        return Request(wish, key, wish.types[0], None, wish.given(random, known))
    found = [each for each in known.values() if each.type in wish.types and each.state != "purged"]
    if not found:
        return None
    about = random.choice(found[-random.choice((2, 4, 12)) :])  # mostly the same few, so that much happens to each
    return Request(wish, key, about.type, about.id, wish.given(random, known))
