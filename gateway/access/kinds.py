"""What each kind of account may do with each type: its methods, its fields' letters, its filters, its actions. Data, and the rules over it.

Admins and users go by the catalogue's own columns. Who has no entry here has no API: such accounts only own things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from commands.catalogue.filters import filters_of
from commands.catalogue.model import Field, Methods, ResourceType
from commands.catalogue.types.common import ALL, READ

Filters = dict[str, tuple[str, ...]]

MADE_BY_CORRAL = frozenset({
    "id", "created", "removed", "removeTime", "state", "transitioning", "transitioningMessage", "transitioningProgress",
})  # fmt: skip
"""Fields that nobody writes, whatever else of their type is to be written."""

ONCE = frozenset({"uuid", "kind"})
"""Fields that are chosen on creation, and stay."""

GET_POST = Methods(("GET", "POST"), ("GET",))


class Rules(Protocol):
    """Of one kind of account."""

    def methods(self, type: ResourceType) -> Methods: ...

    def letters(self, type: ResourceType, field: Field) -> str:
        """r(ead) c(reate) u(pdate); "": the field is not in its schema."""
        ...

    def filters(self, type: ResourceType) -> Filters: ...

    def acts(self, type: ResourceType) -> bool:
        """Whether the type's actions are offered."""
        ...


class AsAdmin:
    def methods(self, type: ResourceType) -> Methods:
        return type.admin

    def letters(self, type: ResourceType, field: Field) -> str:
        return field.admin

    def filters(self, type: ResourceType) -> Filters:
        return filters_of(type)

    def acts(self, type: ResourceType) -> bool:
        return True


class AsSuperadmin(AsAdmin):
    """Sees every type and field, and writes what admins write: what nobody does (a volume's creation, a state) stays Corral's own. The
    types that admins don't see have no such column, and are all this one's."""

    def methods(self, type: ResourceType) -> Methods:
        if not type.admin.hidden:
            return type.admin
        return ALL if type.stored else READ

    def letters(self, type: ResourceType, field: Field) -> str:
        if field.admin:
            return field.admin
        if not type.admin.hidden or not type.stored or field.name in MADE_BY_CORRAL:
            return "r"
        return "rc" if field.name in ONCE else "rcu"


class AsUser(AsAdmin):
    def methods(self, type: ResourceType) -> Methods:
        return type.user

    def letters(self, type: ResourceType, field: Field) -> str:
        return field.user

    def filters(self, type: ResourceType) -> Filters:
        return filters_of(type, user=True)


class AsReader(AsAdmin):
    """An admin's schemas without their writes. To hear events one has to send what one wants to hear."""

    def methods(self, type: ResourceType) -> Methods:
        if type.name in WRITTEN_TO_READ:
            return type.admin
        found = type.admin
        return Methods(tuple(m for m in found.collection if m == "GET"), tuple(m for m in found.resource if m == "GET"))

    def letters(self, type: ResourceType, field: Field) -> str:
        return field.admin if type.name in (*WRITTEN_TO_READ, "publish") else "r" if "r" in field.admin else ""

    def acts(self, type: ResourceType) -> bool:
        return False


WRITTEN_TO_READ = ("subscribe",)


@dataclass(frozen=True, slots=True)
class Entry:
    """A type as a kind with a short list of types sees it."""

    methods: Methods
    letters: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[str, ...] = ()
    like_admin: bool = False
    """Letters and filters are an admin's."""


@dataclass(frozen=True, slots=True)
class Only:
    """These types, and no actions."""

    types: Mapping[str, Entry]

    def methods(self, type: ResourceType) -> Methods:
        entry = self.types.get(type.name)
        return entry.methods if entry is not None else Methods()

    def letters(self, type: ResourceType, field: Field) -> str:
        entry = self.types.get(type.name)
        if entry is None:
            return ""
        return field.admin if entry.like_admin else entry.letters.get(field.name, "")

    def filters(self, type: ResourceType) -> Filters:
        entry = self.types.get(type.name)
        if entry is None:
            return {}
        every = filters_of(type)
        return every if entry.like_admin else {name: every[name] for name in entry.filters if name in every}

    def acts(self, type: ResourceType) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class AccountKind:
    """`reads_only`: it changes nothing. `plain_ids`: ids are bare numbers to it never, if it asks, or always. `raw`: it hears events under
    any name."""

    rules: Rules
    sees_all: bool = False
    reads_only: bool = False
    plain_ids: Literal["never", "asked", "always"] = "never"
    raw: bool = False


_SCHEMAS = {
    "schema": Entry(READ, like_admin=True),
    "error": Entry(READ),
    "authorized": Entry(READ),
}

_AGENT = Only(MappingProxyType({
    **_SCHEMAS,
    "agent": Entry(READ, {"id": "r", "name": "r", "user": "rc"}),
    "publish": Entry(Methods(("POST",), ("GET",)), dict.fromkeys((
        "id", "name", "resourceId", "resourceType", "previousIds", "data", "time", "publisher", "transitioning", "transitioningProgress",
        "transitioningMessage", "transitioningInternalMessage",
    ), "rc")),
    "subscribe": Entry(GET_POST, {"eventNames": "rc", "agentId": "rc"}, ("eventNames",)),
    "configContent": Entry(Methods(("GET",), ("GET", "PUT")), {"version": "ru", "agentId": "ru"}),
}))  # fmt: skip

_AGENT_REGISTER = Only(MappingProxyType({**_SCHEMAS, "agent": Entry(GET_POST, {"uri": "rc", "user": "rc"})}))

_REGISTER = Only(MappingProxyType({
    "schema": Entry(READ, like_admin=True),
    "register": Entry(Methods(("GET", "POST"), ("GET", "DELETE")), like_admin=True),
}))  # fmt: skip

REGISTER = "register"
"""The kind as which the bearer of a registration token acts, whatever its account's."""

ADMIN, AGENT = "admin", "agent"

KINDS: Mapping[str, AccountKind] = MappingProxyType({
    "superadmin": AccountKind(AsSuperadmin(), sees_all=True, plain_ids="asked", raw=True),
    ADMIN: AccountKind(AsAdmin(), sees_all=True, plain_ids="asked", raw=True),
    "readAdmin": AccountKind(AsReader(), reads_only=True, raw=True),
    "user": AccountKind(AsUser()),
    AGENT: AccountKind(_AGENT, plain_ids="always"),
    "agentRegister": AccountKind(_AGENT_REGISTER),
    REGISTER: AccountKind(_REGISTER),
})  # fmt: skip
"""Source: Cattle 0.4.0's schemas for each kind."""
