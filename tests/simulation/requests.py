"""A wish about one thing on its way: chosen by chance among what is there, and carried out as a gateway would."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from commands.accepting.service import Actor, Commands, Outcome
from commands.errors import Refused
from commands.resource import Json, Resource
from eventstore import CommandKey
from tests.simulation.wishes import INTERVENTIONS, OF_HOSTS, TABLE, Wish


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
        if (before := await commands.before(key, self.type_name, self.number)) is not None:
            return before
        try:
            return await self._carry_out(commands, Actor(account, self.key), key)
        except Refused:
            if (before := await commands.before(key, self.type_name, self.number)) is not None:
                return before
            raise

    async def _carry_out(self, commands: Commands, actor: Actor, key: CommandKey) -> Outcome:
        given: dict[str, Any] = dict(self.given)
        match self.wish.verb:
            case "create":
                return await commands.create(self.type_name, {**given, "name": self.key}, actor, key)
            case "rename":
                return await commands.update(self.type_name, self.number or 0, given, actor, key)
            case "delete":
                return await commands.delete(self.type_name, self.number or 0, actor, key)
            case "retry" | "cancel" | "force-remove" | "dead" as verb:
                intervention = {**INTERVENTIONS, **OF_HOSTS}[verb]()
                return await commands.intervene(self.type_name, self.number or 0, intervention, actor, key)
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
